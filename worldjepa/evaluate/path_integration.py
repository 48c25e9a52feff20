"""What an aggregate knows of the way: R^2 of the transformation from the first view to the last (appendix B.9).

A probe reads z_AGG of M views beside the embedded action to one more view, and says what leads from the first view to
that one; one probe for each M. With M = 1 the action itself is the answer. Beside it stand the same with all embedded
actions zeroed, and with all latents zeroed (arXiv 2505.03176). The paper zeroes "at inference" and does not say what
reads the rest; here each has a probe of its own on what is left, so that it says what can be known from that alone.
"""

import torch

from worldjepa.evaluate.aggregates import SEEING, Blinded, aggregate, embedded_action
from worldjepa.evaluate.equivariance import Samples, Split, need_actions, regress
from worldjepa.evaluate.statistics import Interval
from worldjepa.evaluate.view_features import Sequences
from worldjepa.learner import Learner

CONDITIONS = {"all": SEEING, "no actions": Blinded(actions=True), "no views": Blinded(views=True)}


def path_integration(learner: Learner, split: Split, observed: int, blinded: Blinded = SEEING) -> dict[str, Interval]:
    """R^2 of the transformation from the first of ``observed`` + 1 views to the last, by group of numbers.

    Args:
        learner: a seq-JEPA that is told actions, in eval mode.
        split: its objects.
        observed: M >= 1.
        blinded: what the model is not given.

    Raises:
        ValueError: the model makes no aggregate or is told no actions, the objects have too few views.
    """
    transformations = need_actions(split)
    both = split.sequences(observed + 1)
    samples = [Samples(path_features(learner, s, observed, blinded), s.group) for s in both]
    ways = [transformations.relative(s.pose[:, [0, observed]])[:, 0] for s in both]
    return regress(samples[0], ways[0], samples[1], ways[1], transformations.groups, split.settings)


def path_features(learner: Learner, sequences: Sequences, observed: int, blinded: Blinded = SEEING) -> torch.Tensor:
    """[n, W + E]: z_AGG of the first ``observed`` views, and the embedded action to the one after them."""
    seen = aggregate(learner, sequences, observed, blinded)
    return torch.cat([seen, embedded_action(learner, sequences, observed - 1, blinded)], dim=1)
