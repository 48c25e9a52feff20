"""Training: one loop, checkpoints that survive being killed, metrics."""

from worldjepa.train.checkpoint import Checkpoints
from worldjepa.train.config import FitConfig
from worldjepa.train.fit import FitResult, fit
from worldjepa.train.log import read_metrics

__all__ = ["Checkpoints", "FitConfig", "FitResult", "fit", "read_metrics"]
