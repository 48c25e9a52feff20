"""The losses that look at the whole batch, computed by any number of processes on their own rows of it."""

import datetime
from pathlib import Path

import torch
import torch.distributed as dist
from pair_methods import NAMES, build_on_latents, latents
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.objectives import SIGReg, VarianceCovariance, gather_rows, masked_mean, nt_xent
from worldjepa.train.batchnorm import make_global
from worldjepa.types import Prediction

NUM_PROCESSES = 2


def losses(rank: int = 0, world: int = 1) -> dict[str, Tensor]:
    """Values and gradients of this process's rows; the rows hold very different amounts of padding."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    weight = torch.rand(6, 5, generator=generator, dtype=torch.float64)
    weight[1::2, 1:] = 0.0
    mix = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    spread = torch.randn(5, 1, 4, generator=generator, dtype=torch.float64)
    valid = weight[rank::world] > 0

    def padded(term: nn.Module, x: Tensor) -> dict[str, Tensor]:
        """A term of windows of which every second one ends after its first frame: those of the second process."""
        prediction = Prediction(x[:, :, None, None] * spread, None, None, None)
        return term(prediction, TensorDict({"valid": valid}, batch_size=[len(x)]))

    terms = {
        "weighted": lambda x: masked_mean(x.square(), weight[rank::world]),
        "mean": lambda x: masked_mean(x.square()),
        "empty": lambda x: masked_mean(x, torch.zeros(5)),
        "gathered": lambda x: (gather_rows(x).sort(dim=0).values.cumsum(0) * mix).sum(),
        "nt_xent": lambda x: nt_xent(x, x.cos(), temperature=0.2),
        "nt_xent_padded": lambda x: nt_xent(x, x.cos(), valid[:, 1], temperature=0.2),
        "variance": lambda x: _variance(x)["variance"],
        "covariance": lambda x: _variance(x)["covariance"],
        "padded": lambda x: sum(padded(VarianceCovariance(by="all", threshold=3.0), x).values()),
        "step": lambda x: sum(padded(VarianceCovariance(by="step", threshold=3.0), x).values()),
        "sequence": lambda x: sum(padded(VarianceCovariance(by="sequence", threshold=3.0), x).values()),
        "sigreg": lambda x: padded(SIGReg(num_slices=8), x)["sigreg"],
        "sigreg_pooled": lambda x: padded(SIGReg(num_slices=8, per_step=False), x)["sigreg"],
    }
    found = {}
    for name, term in terms.items():
        own = rows[rank::world].clone().requires_grad_()
        value = term(own)
        (gradient,) = torch.autograd.grad(value, own)
        found |= {f"{name}/value": value.detach(), f"{name}/gradient": gradient}
    return found


def work(rank: int, folder: Path) -> None:
    """What each process does: join the group, save its losses."""
    torch.set_num_threads(1)
    address = f"file://{folder / 'meeting'}"
    patience = datetime.timedelta(seconds=180)
    dist.init_process_group("gloo", address, rank=rank, world_size=NUM_PROCESSES, timeout=patience)
    torch.save(losses(rank, NUM_PROCESSES) | method_losses(rank, NUM_PROCESSES), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def _variance(x: Tensor) -> dict[str, Tensor]:
    prediction = Prediction(0.3 * x[:, None, None], None, None, None)
    return VarianceCovariance()(prediction, TensorDict({}, batch_size=[len(x)]))


def method_losses(rank: int = 0, world: int = 1) -> dict[str, Tensor]:
    """The whole loss of every two-view method, its batch norms over all processes, and the gradient of the rows."""
    found = {}
    for name in NAMES:
        torch.manual_seed(0)
        model, objective = build_on_latents(name)
        if world > 1:
            make_global(model)
        batch = latents(size=6)[rank::world]
        batch["z"].requires_grad_()
        value = objective(model(batch), batch)["loss"]
        (gradient,) = torch.autograd.grad(value, batch["z"])
        found |= {f"{name}/value": value.detach(), f"{name}/gradient": gradient}
    return found
