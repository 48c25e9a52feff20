"""Terms on a part of what is predicted: for embeddings of which one part must not change and another must follow.

SIE's criterion (arXiv 2302.10283) and EquiMod's (arXiv 2211.01244) are sums of ordinary terms, each of which looks at
some features, or at the first view as it was before the action moved it.
"""

from collections.abc import Callable
from dataclasses import replace

from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.types import Prediction


class OnFeatures(nn.Module):
    """A term that sees only some features of predicted and target latents.

    Args:
        term: any term.
        start, stop: the features, as of a slice.

    Raises:
        ValueError: no features.
    """

    def __init__(self, term: nn.Module, start: int, stop: int):
        super().__init__()
        if not 0 <= start < stop:
            raise ValueError(f"expected features from 0 <= start < stop, got {start} and {stop}")
        self.term = term
        self.features = slice(start, stop)

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """What the term returns.

        Raises:
            ValueError: no predictor and target, or latents with fewer features.
        """
        if prediction.predicted is None or prediction.target is None:
            raise ValueError("OnFeatures needs a model with a predictor and a target; this one has none")
        parts = {"predicted": prediction.predicted, "target": prediction.target}
        for name, latents in parts.items():
            if latents.shape[-1] < self.features.stop:
                raise ValueError(
                    f"the {name} latents have {latents.shape[-1]} features, the term reads up to {self.features.stop}"
                )
        return self.term(
            replace(prediction, **{name: latents[..., self.features] for name, latents in parts.items()}), batch
        )


class BeforeAction(nn.Module):
    """A term that sees the first view's projection, as it is before the action, in the place of the prediction.

    Args:
        term: any term; it reads "predicted".
        projector: context latents to projections; kept by reference, so that it stays its owner's alone.
    """

    def __init__(self, term: nn.Module, projector: Callable[[Tensor], Tensor]):
        super().__init__()
        self.term = term
        self._projector = (projector,)

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """What the term returns."""
        return self.term(replace(prediction, predicted=self._projector[0](prediction.context[:, :1])), batch)
