"""Loss terms: functions of a Prediction and a batch; `Sum` weighs them."""

from worldjepa.objectives.chunk import ActionChunk, ChunkDecoder, MLPChunk
from worldjepa.objectives.combine import Sum
from worldjepa.objectives.distance import DISTANCES, LatentDistance, copy_ratio
from worldjepa.objectives.reduce import gather_rows, masked_mean
from worldjepa.objectives.sigreg import SIGReg, epps_pulley, random_directions
from worldjepa.objectives.variance import VarianceCovariance, covariance_penalty, variance_hinge

__all__ = [
    "DISTANCES",
    "ActionChunk",
    "ChunkDecoder",
    "LatentDistance",
    "MLPChunk",
    "SIGReg",
    "Sum",
    "VarianceCovariance",
    "copy_ratio",
    "covariance_penalty",
    "epps_pulley",
    "gather_rows",
    "masked_mean",
    "random_directions",
    "variance_hinge",
]
