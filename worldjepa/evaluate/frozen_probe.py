"""Probes on frozen features: a linear map or a perceptron, trained by Adam on objects that are never tested.

The protocol of seq-JEPA (arXiv 2505.03176, section 3.2 and appendix A.2), with features standardised and the epoch
chosen on a share of the training objects, so that no probe stops by what it is tested on.

Letters: n samples, f features, k outputs.
"""

import copy
import itertools
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

Kind = Literal["linear", "mlp"]


@dataclass(frozen=True)
class ProbeSettings:
    """How probes are trained."""

    epochs: int = 300
    """At most."""
    batch_size: int = 256
    lr: float = 1e-3
    hidden: int = 1024
    """Width of the perceptron's hidden layers."""
    layers: int = 2
    """Hidden layers of the perceptron; the paper's text can be read as one, its released code has two."""
    valid: float = 0.1
    """Share of the training objects that choose the epoch; at least one."""
    patience: int = 20
    """Epochs without a better one after which training ends."""
    seed: int = 0
    device: str = "cpu"
    """Where probes are trained."""

    def __post_init__(self):
        if min(self.epochs, self.batch_size, self.hidden, self.layers, self.patience) < 1 or self.lr <= 0:
            raise ValueError(
                f"epochs, batch_size, hidden, layers, patience and lr of a probe must be positive, got {self}"
            )
        if not 0 < self.valid < 1:
            raise ValueError(f"a probe's share of validation objects must lie in (0, 1), got {self.valid}")


class Probe(nn.Module):
    """Standardised features -> class scores, or outputs in raw units; made by `fit_probe`."""

    mean: Tensor
    std: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, shift: Tensor, scale: Tensor):
        super().__init__()
        self.network = network
        for name, value in (("mean", mean), ("std", std), ("shift", shift), ("scale", scale)):
            self.register_buffer(name, value)

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Scores of the classes, or the outputs."""
        return self.network((x - self.mean) / self.std) * self.scale + self.shift

    @torch.no_grad()
    def classes(self, x: Float[Tensor, "n f"]) -> Int[Tensor, "n"]:
        """The likeliest class of each sample, on the device of ``x``."""
        return self(x.to(self.mean.device)).argmax(1).to(x.device)

    @torch.no_grad()
    def values(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """The outputs of each sample, on the device of ``x``."""
        return self(x.to(self.mean.device)).to(x.device)


def fit_probe(
    x: Float[Tensor, "n f"],
    y: Shaped[Tensor, "n *k"],
    group: Int[Tensor, "n"],
    *,
    kind: Kind,
    settings: ProbeSettings,
    num_classes: int | None = None,
) -> Probe:
    """Fit a probe; cross-entropy where ``y`` are classes, squared error of standardised outputs where they are not.

    Args:
        x: features of training samples.
        y: classes [n] int64, 0 <= y < num_classes, or outputs [n, k].
        group: the object of each sample; the samples of an object choose the epoch together or train together.
        kind: a linear map, or a perceptron with hidden layers and ReLU.
        settings: of the training.
        num_classes: where ``y`` are classes.

    Raises:
        ValueError: fewer than two objects, features that are not finite.
    """
    if not torch.isfinite(x).all():
        raise ValueError("probes need finite features; the encoder gives NaN or infinite values: it has diverged")
    x, y, held = x.to(settings.device), y.to(settings.device), _held_out(group, settings).to(settings.device)
    mean, std = _moments(x[~held])
    if num_classes is None:
        shift, scale = _moments(y[~held])
        target, outputs = (y - shift) / scale, y.shape[1]
    else:
        shift, scale, target, outputs = x.new_zeros(()), x.new_ones(()), y, num_classes
    network = _network(kind, x.shape[1], outputs, settings).to(x.device)
    inputs = (x - mean) / std
    _train(network, inputs[~held], target[~held], inputs[held], target[held], settings)
    return Probe(network, mean, std, shift, scale).eval().requires_grad_(False)


def _held_out(group: Tensor, settings: ProbeSettings) -> Tensor:
    """Which samples choose the epoch, bool [n]."""
    objects = torch.unique(group.cpu())
    if len(objects) < 2:
        raise ValueError(f"a probe needs at least two training objects, got {len(objects)}: record more episodes")
    count = max(1, round(settings.valid * len(objects)))
    order = torch.randperm(len(objects), generator=torch.Generator().manual_seed(settings.seed))
    return torch.isin(group.cpu(), objects[order[:count]])


def _moments(x: Float[Tensor, "n f"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation; 1 for what does not vary."""
    mean, std = x.mean(0), x.std(0, correction=0)
    return mean, torch.where(std > 1e-6 * mean.abs().clamp_min(1.0), std, 1.0)


def _network(kind: str, features: int, outputs: int, settings: ProbeSettings) -> nn.Module:
    """A fresh probe that says the mean: its last layer is zero, so that with many features for few samples the best
    epoch may be the one before all training."""
    if kind not in ("linear", "mlp"):
        raise ValueError(f'the kind of a probe must be "linear" or "mlp", got {kind!r}')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        widths = [features, *[settings.hidden] * (settings.layers if kind == "mlp" else 0)]
        hidden = [layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        last = nn.Linear(widths[-1], outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*hidden, last)


def _loss(output: Tensor, target: Tensor) -> Float[Tensor, ""]:
    return F.mse_loss(output, target) if target.is_floating_point() else F.cross_entropy(output, target)


def _train(network: nn.Module, x: Tensor, y: Tensor, x_valid: Tensor, y_valid: Tensor, settings: ProbeSettings) -> None:
    """Adam; ends with the weights of the epoch that was best on the validation objects."""
    optimizer = torch.optim.Adam(network.parameters(), settings.lr)
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.no_grad():
        best, kept, waited = float(_loss(network(x_valid), y_valid)), copy.deepcopy(network.state_dict()), 0
    for _ in range(settings.epochs):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        with torch.enable_grad():
            for rows in order.split(settings.batch_size):
                optimizer.zero_grad()
                _loss(network(x[rows]), y[rows]).backward()
                optimizer.step()
        with torch.no_grad():
            now = float(_loss(network(x_valid), y_valid))
        if now < best:
            best, kept, waited = now, copy.deepcopy(network.state_dict()), 0
        else:
            waited += 1
        if waited >= settings.patience:
            break
    network.load_state_dict(kept)
