"""A learner small enough to train in milliseconds, with everything `fit` must keep: dropout, buffers, a target."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tensordict import TensorDict
from torch import nn

from worldjepa.learner import Learner, Origin
from worldjepa.objectives.reduce import masked_mean
from worldjepa.targets import EMATarget
from worldjepa.types import DataSpec


@dataclass(frozen=True)
class TinyConfig:
    width: int = 8
    dropout: float = 0.1
    batch_norm: bool = False


class View(nn.Sequential):
    def forward(self, view):
        return super().forward(view["obs"])[:, None, None]


class TinyModel(nn.Module):
    def __init__(self, config: TinyConfig):
        super().__init__()
        norm = nn.BatchNorm1d(config.width) if config.batch_norm else nn.Identity()
        self.encoder = View(
            nn.Linear(4, config.width, bias=not config.batch_norm), norm, nn.Tanh(), nn.Dropout(config.dropout)
        )
        self.predictor = nn.Linear(config.width, config.width)
        self.target = EMATarget(self.encoder, 0.9)


class TinyLearner(Learner):
    def __init__(self, config: TinyConfig | None = None, seed: int = 0, recipe: str = "tiny"):
        nn.Module.__init__(self)
        torch.manual_seed(seed)
        config = config or TinyConfig()
        self.origin = Origin(recipe, config, DataSpec({}, action_dim=2))
        self.model = TinyModel(config)
        self.head = nn.Linear(config.width, 2)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, batch):
        if self.training:
            self.seen += 0.5
            self.count += 1
        z = self.model.encoder(batch)
        following = TensorDict({"obs": batch["next"]}, batch_size=batch.batch_size)
        latent = (self.model.predictor(z) - self.model.target(following)).square().mean((1, 2, 3))
        action = (self.head(z[:, 0, 0]) - batch["action"]).square().mean(-1)
        losses = {"latent": masked_mean(latent, batch["valid"]), "action": masked_mean(action, batch["valid"])}
        return losses | {"loss": losses["action"] + 0.5 * losses["latent"]}

    def update_target(self, step):
        self.model.target.update(step)

    def diagnostics(self, batch):
        return {"collapse/std": self.model.encoder(batch).std(0).mean().item()}


def batches(rows: int = 16, poison: int | None = None):
    """A batch function: a pure function of the number; padding is spread unevenly over the rows."""

    def batch(number, rank, world):
        generator = torch.Generator().manual_seed(number)
        obs = torch.randn(rows, 4, generator=generator)
        valid = torch.arange(rows) < rows - number % 7
        if number == poison:
            obs[3] = torch.nan
        action = torch.stack([obs.sum(-1), obs.prod(-1)], -1)
        data = {"obs": obs, "next": obs.roll(1, -1), "action": action, "valid": valid}
        return TensorDict(data, batch_size=[rows])[rank::world]

    return batch


def save_pretrained(learner, folder: Path) -> None:
    folder.mkdir()
    save_file({name: value.clone() for name, value in learner.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")


def exported(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint / "pretrained_model" / "model.safetensors")
