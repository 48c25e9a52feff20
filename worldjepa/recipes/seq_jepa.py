"""seq-JEPA (arXiv 2505.03176): views and the actions between them, aggregated, and asked for the next view.

An encoder looks at each of M views by itself; a transformer gathers them, each beside the action that leads on from
it, in one token; a perceptron says from it and the next action what an averaged encoder sees then. Single latents come
to hold what actions change, the aggregate what they do not. With ``source="recorded"`` the views are a robot's frames
and the actions its own.

What differs from the released code unless `released` is applied: relative quaternions are canonical, no statistic is
taken of an action that the aggregate must not know, parameters of augmentations are not divided by their norm over the
views of a sample, and no fixation returns to a circle instead of a square. In any case the momentum follows the steps
of the training and not its epochs.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from worldjepa.data.statistics import Statistics
from worldjepa.encoders.mlp import module_name
from worldjepa.jepa import JEPA
from worldjepa.learner import Learner, Origin
from worldjepa.normalize import Normalizer
from worldjepa.objectives import LatentDistance, Sum
from worldjepa.predictors import AggregatePredictor
from worldjepa.recipes.keys import Window
from worldjepa.recipes.seq_encoder import build_encoder
from worldjepa.recipes.seq_jepa_config import Config, cifar, released, saccades, small, threedie, tiny_imagenet
from worldjepa.recipes.seq_official import official_state
from worldjepa.recipes.seq_views import action_size, build_views, source_window
from worldjepa.targets import EMATarget, cosine_momentum
from worldjepa.types import DataSpec

__all__ = [
    "Config",
    "build",
    "cifar",
    "from_official",
    "released",
    "saccades",
    "small",
    "threedie",
    "tiny_imagenet",
    "window",
]


def build(config: Config, spec: DataSpec) -> tuple[JEPA, Sum]:
    """The model and its objective for data of ``spec``.

    Raises:
        ValueError: a source that is unknown or that the data cannot serve, sizes that do not fit.
    """
    views = build_views(config, spec, config.observed)
    encoder = build_encoder(config, spec)
    predictor = AggregatePredictor(
        dim=encoder.dim,
        action_dim=action_size(config, spec),
        action_embed=config.action_embed,
        layers=config.layers,
        num_heads=config.num_heads,
        ffn=config.ffn,
        hidden=config.hidden,
        dropout=config.dropout,
        condition_tokens=config.condition_tokens,
        condition_predictor=config.condition_predictor,
        unused_action=config.unused_action,
        context_length=config.observed,
    )
    if config.target_statistics not in ("averaged", "batch"):
        raise ValueError(f'target_statistics must be "averaged" or "batch", got {config.target_statistics!r}')
    momentum = cosine_momentum(config.momentum, config.momentum_end, config.momentum_steps)
    target = EMATarget(encoder, momentum, own_statistics=config.target_statistics == "batch")
    return JEPA(views, encoder, target, predictor), Sum((1.0, LatentDistance("cosine")))


def window(config: Config, spec: DataSpec) -> Window:
    """The sequences this recipe is trained on."""
    return source_window(config, spec, config.observed)


def from_official(state: Mapping[str, Tensor], config: Config, spec: DataSpec) -> Learner:
    """A learner in eval mode with the weights of a released checkpoint (hafezgh/seq-jepa).

    Args:
        state: the released model's, as ``torch.load(path, weights_only=True)["model"]`` gives it.
        config: of the model that was released, such as ``released(threedie())``.
        spec: of the data it is for: it must have the image, and what actions are made of.

    Raises:
        ValueError: weights that no released model has, that are missing, or of another shape.
    """
    if config.trunk != "resnet":
        raise ValueError(f'released models have a ResNet: expected trunk="resnet", got {config.trunk!r}')
    if config.normalization != "identity":
        raise ValueError(f'released models do not normalise: expected "identity", got {config.normalization!r}')
    model, objective = build(config, spec)
    found = official_state(state, module_name(config.image_key), config.depths)
    if not (config.condition_tokens or config.condition_predictor):  # SeqJEPA_PLS then keeps an embedding it never uses
        found = {name: value for name, value in found.items() if not name.startswith("predictor.action.")}
    wanted = model.state_dict()
    missing = sorted(set(wanted) - set(found))
    wrong = sorted(k for k in set(wanted) & set(found) if wanted[k].shape != found[k].shape)
    extra = sorted(set(found) - set(wanted))
    if missing or wrong or extra:
        raise ValueError(
            f"the weights do not fit this configuration: {len(missing)} missing {missing[:3]}, {len(wrong)} of "
            f"another shape {wrong[:3]}, {len(extra)} too many {extra[:3]}"
        )
    model.load_state_dict(found)
    keys = [key for key in window(config, spec).keys if spec.obs[key].kind == "state"]
    shapes = {**{key: spec.obs[key].shape for key in keys}, "action": (spec.action_dim * config.stride,)}
    normalizer = Normalizer({key: _identity(shape) for key, shape in shapes.items()}, mode="identity")
    return Learner(normalizer, model, objective, Origin("seq_jepa", config, spec)).eval()


def _identity(shape: tuple[int, ...]) -> Statistics:
    """Statistics of nothing, for a normaliser that changes nothing."""
    zeros, ones = np.zeros(shape), np.ones(shape)
    return Statistics(zeros, ones, -ones, ones, 0)
