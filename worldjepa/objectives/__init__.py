"""Loss terms: functions of a Prediction and a batch; `Sum` weighs them."""

from worldjepa.objectives.chunk import ActionChunk, ChunkDecoder, MLPChunk
from worldjepa.objectives.combine import Sum
from worldjepa.objectives.contrast import NTXent, info_nce, nt_xent, without_duplicates
from worldjepa.objectives.distance import DISTANCES, LatentDistance, copy_ratio
from worldjepa.objectives.dynamics import InverseDynamics, TimeSimilarity
from worldjepa.objectives.ensemble import Ensemble
from worldjepa.objectives.equivariance import BeforeAction, OnFeatures
from worldjepa.objectives.heads import RewardHead, SuccessHead
from worldjepa.objectives.open_loop import OpenLoop
from worldjepa.objectives.reduce import gather_rows, masked_mean
from worldjepa.objectives.sigreg import SIGReg, epps_pulley, random_directions
from worldjepa.objectives.straighten import Straightening
from worldjepa.objectives.variance import VarianceCovariance, covariance_penalty, variance_hinge

__all__ = [
    "DISTANCES",
    "ActionChunk",
    "BeforeAction",
    "ChunkDecoder",
    "Ensemble",
    "InverseDynamics",
    "LatentDistance",
    "MLPChunk",
    "NTXent",
    "OnFeatures",
    "OpenLoop",
    "RewardHead",
    "SIGReg",
    "Straightening",
    "SuccessHead",
    "Sum",
    "TimeSimilarity",
    "VarianceCovariance",
    "copy_ratio",
    "covariance_penalty",
    "epps_pulley",
    "gather_rows",
    "info_nce",
    "masked_mean",
    "nt_xent",
    "random_directions",
    "variance_hinge",
    "without_duplicates",
]
