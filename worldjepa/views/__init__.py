"""View functions: what is seen, what is predicted, what the predictor is told."""

from worldjepa.views.augment import AugmentedViews
from worldjepa.views.pairs import PairViews
from worldjepa.views.saccades import SaccadeViews
from worldjepa.views.sequence import Poses, SequenceViews
from worldjepa.views.temporal import FutureViews
from worldjepa.views.transitions import TransitionViews

__all__ = [
    "AugmentedViews",
    "FutureViews",
    "PairViews",
    "Poses",
    "SaccadeViews",
    "SequenceViews",
    "TransitionViews",
]
