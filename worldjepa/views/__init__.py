"""View functions: what is seen, what is predicted, what the predictor is told."""

from worldjepa.views.pairs import PairViews
from worldjepa.views.sequence import Poses, SequenceViews
from worldjepa.views.temporal import FutureViews
from worldjepa.views.transitions import TransitionViews

__all__ = ["FutureViews", "PairViews", "Poses", "SequenceViews", "TransitionViews"]
