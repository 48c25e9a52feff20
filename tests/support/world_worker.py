"""Runs under torchrun: trains a small world model with an open-loop loss, as copies and as shards."""

import sys
from pathlib import Path

import torch
from toys import SPEC, toy_batch, toy_statistics

from worldjepa.recipes import ac_jepa, make_learner, save_pretrained
from worldjepa.train.config import FitConfig
from worldjepa.train.fit import fit

CONFIG = FitConfig(steps=4, warmup=1, lr=1e-2, grad_clip=0.5, log_every=1, save_every=4)
MODELS = {
    "causal": {"num_heads": 2, "head_dim": 8, "ffn_dim": 32, "predictor_layers": 1},
    "concat": {"conditioning": "concat", "num_heads": 2, "head_dim": 8, "ffn_dim": 32, "predictor_layers": 1},
    "recurrent": {"predictor": "recurrent"},
    "gru": {"predictor": "gru"},
    "shared_norm": {"predictor": "gru", "norm": True, "shared_norm": True},
}


def batch(number, rank, world):
    """Eight windows in all; the padded ones are spread unevenly."""
    return toy_batch(8, 4, seed=number)[rank::world]


def train(folder: Path, name: str, *, sharded: bool = False) -> None:
    """One run with the open-loop loss of history 2 and horizon 3."""
    torch.manual_seed(0)
    options = {"dim": 16, "state_dim": 16, "state_hidden": 16, "history": 2, "horizon": 3, "open_loop": 1.0}
    config = ac_jepa.Config(**options, **MODELS[name], target="stop")
    learner = make_learner("ac_jepa", config, SPEC, toy_statistics())
    fit_config = FitConfig(**{**vars(CONFIG), "sharded": sharded})
    fit(learner, batch, fit_config, folder, save_pretrained=save_pretrained, progress=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for model in MODELS:
        train(Path(sys.argv[1]) / f"shards_{model}", model, sharded=True)
