"""A training step of seq-JEPA: time and peak memory, against the same computation written a view at a time.

    python examples/benchmarks/seq_step.py --px 64 --batch 32 --width 16

Ours encodes the M observed views in one call and computes only the aggregate's row of the last transformer layer. The
naive one, with torch's own encoder layers, encodes view by view. Both read the same bytes and start from the same
weights, whose losses must agree: in eval mode, since the batch norms of the two see different batches. They take turns;
the median of each is printed. Memory is what autograd keeps for the backward pass (every tensor once), and the peak of
a step: of a GPU what is allocated, of a CPU the resident memory above that before the step.
"""

import argparse
import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.encoders import FrameEncoder
from worldjepa.jepa import JEPA
from worldjepa.predictors import AggregatePredictor
from worldjepa.recipes import seq_jepa
from worldjepa.types import DataSpec, ObsSpec


class Naive(nn.Module):
    """The published computation, view by view, on the parts of a model of ours."""

    def __init__(self, model: JEPA):
        super().__init__()
        predictor, encoder = model.predictor, model.encoder
        assert isinstance(predictor, AggregatePredictor)
        assert isinstance(encoder, FrameEncoder)
        self.ours, self.predictor, self.encoder, self.target = model, predictor, encoder, model.target
        layers = [nn.TransformerEncoderLayer(predictor.width, 4, 4 * predictor.width, 0.0, batch_first=True)]
        layers *= len(predictor.blocks)
        self.layers = nn.TransformerEncoder(layers[0], len(layers), predictor.norm, enable_nested_tensor=False)
        for layer, block in zip(self.layers.layers, predictor.blocks):
            copy_block(layer, block)

    def forward(self, batch: TensorDict) -> Tensor:
        """The loss."""
        views = self.ours.views(batch)
        image, action = views.context["image"], views.query["action"]
        count = image.shape[1]
        z = torch.stack([self._encode(image[:, i]) for i in range(count)], dim=1)
        target = self.target(views.target)[:, 0, 0]  # pyright: ignore[reportOptionalCall]
        embedded = [self.predictor.embed(action[:, i]) for i in range(count)]
        beside = torch.stack([*embedded[:-1], torch.zeros_like(embedded[-1])], dim=1)
        tokens = torch.cat([z, beside], dim=-1)
        tokens = torch.cat([self.predictor.token.expand(len(z), 1, -1), tokens], dim=1)
        aggregate = self.layers(tokens)[:, 0]
        predicted = self.predictor.head(torch.cat([aggregate, embedded[-1]], dim=-1))
        return (1 - F.cosine_similarity(predicted, target, dim=-1)).mean()

    def _encode(self, image: Tensor) -> Tensor:
        """One view of each sample: bytes [B, h, w, 3] -> [B, C]."""
        pixels = image.permute(0, 3, 1, 2).float() / 255
        return self.encoder.trunks["image"](pixels)


def copy_block(layer: nn.Module, block: nn.Module) -> None:
    """Our block's weights for torch's encoder layer."""
    ours = dict(block.named_parameters())
    new: dict[str, Tensor] = {key.replace("attention.out", "self_attn.out_proj"): x for key, x in ours.items()}
    for kind in ("weight", "bias"):
        q, kv = new.pop(f"attention.q.{kind}"), new.pop(f"attention.kv.{kind}")
        new[f"self_attn.in_proj_{kind}"] = torch.cat([q, kv])
    for ours_name, name in (("ffn.0", "linear1"), ("ffn.3", "linear2"), ("norms.0", "norm1"), ("norms.1", "norm2")):
        new = {key.replace(ours_name, name): value for key, value in new.items()}
    layer.load_state_dict(new)


@dataclass
class Kept:
    """Bytes that autograd keeps for the backward pass."""

    storages: dict[int, int]

    def pack(self, x: Tensor) -> Tensor:
        """Count a tensor's storage once."""
        storage = x.untyped_storage()
        self.storages[storage.data_ptr()] = storage.nbytes()
        return x


def make(options: argparse.Namespace) -> tuple[JEPA, TensorDict]:
    """A model and a batch of random views."""
    px, rows, views = options.px, options.batch, options.observed + 1
    spec = DataSpec({"image": ObsSpec((px, px, 3), "uint8"), "rotation": ObsSpec((4,), "float32")}, 4)
    config = replace(
        seq_jepa.threedie() if options.width == 64 else seq_jepa.small(),
        observed=options.observed,
        trunk="resnet",
        trunk_width=options.width,
        pixels="unit",
        dropout=0.0,
        momentum_steps=1000,
    )
    torch.manual_seed(0)
    model, _ = seq_jepa.build(config, spec)
    obs = {
        "image": torch.randint(256, (rows, views, px, px, 3), dtype=torch.uint8),
        "rotation": F.normalize(torch.randn(rows, views, 4), dim=-1),
    }
    batch = TensorDict(
        {"obs": TensorDict(obs, batch_size=[rows]), "valid": torch.ones(rows, views, dtype=torch.bool)},
        batch_size=[rows],
    )
    return model.to(options.device), batch.to(options.device)


def ours(model: JEPA, batch: TensorDict) -> Tensor:
    """The loss of our forward pass."""
    found = model(batch)
    assert found.predicted is not None
    return (1 - F.cosine_similarity(found.predicted, found.target, dim=-1)).mean()


def step(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer, model: JEPA, number: int) -> None:
    """One training step."""
    loss().backward()
    optimizer.step()
    optimizer.zero_grad()
    model.update_target(number)


def kept(loss: Callable[[], Tensor]) -> int:
    """Bytes kept for the backward pass, weights included."""
    found = Kept({})
    with torch.autograd.graph.saved_tensors_hooks(found.pack, lambda x: x):
        loss()
    return sum(found.storages.values())


def peak(run: Callable[[], None], device: str) -> int | None:
    """Most memory that a step takes: of a GPU, what is allocated; else the resident memory above that before the step.

    The second is of Linux alone (None elsewhere), and read after one other step: what stays from the first, such as
    the optimiser's state, counts for neither contestant.
    """
    run()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # else the C library keeps what the other contestant freed
    reset.write_text("5")  # the peak begins anew
    before = _kilobytes(status, "VmRSS")
    run()
    return 1024 * (_kilobytes(status, "VmHWM") - before)


def _kilobytes(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])


def main() -> None:
    """Print both, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("px", 64), ("batch", 32), ("width", 16), ("observed", 3), ("rounds", 15), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, batch = make(options)
    naive = Naive(model).to(options.device)
    losses: dict[str, Callable[[], Tensor]] = {"ours": lambda: ours(model, batch), "naive": lambda: naive(batch)}
    naive.eval()
    with torch.no_grad():
        a, b = (loss().item() for loss in losses.values())
    print(f"loss {a:.6f} and {b:.6f}, the same weights in eval mode")
    if abs(a - b) > 1e-4:
        raise SystemExit("the two do not compute the same")
    naive.train()
    modules: dict[str, nn.Module] = {"ours": model, "naive": naive}
    optimizers = {
        name: torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], 1e-4)
        for name, module in modules.items()
    }
    memory = {name: kept(loss) for name, loss in losses.items()}
    runs = {
        name: lambda name=name, i=i: step(losses[name], optimizers[name], model, i) for i, name in enumerate(losses)
    }
    peaks = {name: peak(run, options.device) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in losses}
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    for number in range(options.rounds + 2):
        for name, run in runs.items():
            begin = clock()
            run()
            if options.device != "cpu":
                torch.cuda.synchronize()
            if number >= 2:
                times[name].append(clock() - begin)
    ms = {name: 1e3 * median(values) for name, values in times.items()}
    what = f"{options.px} px, batch {options.batch}, M = {options.observed}, ResNet-18 of width {options.width}"
    print(f"{what}, {options.device}, {options.threads} threads, {'CPU' if options.device == 'cpu' else 'wall'} time")
    print("| | step | kept for backward | peak of a step |\n|---|---|---|---|")
    for name in losses:
        most = peaks[name]
        top = "-" if most is None else f"{most / 2**20:.0f} MiB"
        print(f"| {name} | {ms[name]:.1f} ms | {memory[name] / 2**20:.1f} MiB | {top} |")
    top = f"{peaks['naive'] / peaks['ours']:.2f}" if peaks["ours"] and peaks["naive"] else "-"
    print(f"| naive / ours | {ms['naive'] / ms['ours']:.2f} | {memory['naive'] / memory['ours']:.2f} | {top} |")


if __name__ == "__main__":
    main()
