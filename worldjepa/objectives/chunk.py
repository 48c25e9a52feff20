"""The action chunk: the policy's loss and its head (ACT, arXiv 2304.13705; ACT-JEPA, arXiv 2501.14622, L_action)."""

from typing import Literal

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.blocks import DecoderBlock, sincos
from worldjepa.objectives.perceptron import perceptron
from worldjepa.objectives.reduce import blank, masked_mean
from worldjepa.types import Prediction


class ChunkDecoder(nn.Module):
    """Learned queries, one a future step, that read the context latents: a DETR-style decoder without a CVAE.

    Args:
        dim: width D of the context latents.
        action_dim: A.
        chunk: number of actions predicted, >= 1.
        num_layers, num_heads, ffn_dim, dropout, norm: of the decoder blocks.
    """

    def __init__(
        self,
        *,
        dim: int,
        action_dim: int,
        chunk: int,
        num_layers: int = 1,
        num_heads: int = 8,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
        norm: Literal["pre", "post"] = "post",
    ):
        super().__init__()
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {chunk}")
        self.chunk = chunk
        self.query = nn.Parameter(torch.randn(chunk, dim) * 0.02 + sincos(torch.arange(chunk), dim))
        self.blocks = nn.ModuleList(
            DecoderBlock(dim, num_heads, ffn_dim, dropout=dropout, norm=norm) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, action_dim)

    def forward(self, context: Float[Tensor, "b tc nc d"]) -> Float[Tensor, "b chunk a"]:
        """Normalised actions for the present step and the ``chunk - 1`` after it."""
        memory = context.flatten(1, 2)
        queries = self.query.expand(context.shape[0], -1, -1)
        for block in self.blocks:
            queries = block(queries, memory)
        return self.out(self.norm(queries))


class MLPChunk(nn.Module):
    """A perceptron from the flattened context latents to a chunk: the head of plain behaviour cloning (chunk 1).

    Args:
        in_dim: Tc * Nc * D.
        action_dim, chunk, hidden: sizes; ``hidden`` lists the widths of the hidden layers.
    """

    def __init__(self, *, in_dim: int, action_dim: int, chunk: int = 1, hidden: tuple[int, ...] = (512, 512)):
        super().__init__()
        self.chunk = chunk
        self.net = perceptron(in_dim, hidden, chunk * action_dim)

    def forward(self, context: Float[Tensor, "b tc nc d"]) -> Float[Tensor, "b chunk a"]:
        """Normalised actions for the present step and the ``chunk - 1`` after it."""
        return self.net(context.flatten(1)).unflatten(1, (self.chunk, -1))


class ActionChunk(nn.Module):
    """Loss of a predicted chunk of actions over the actions that are real, and owner of the head that predicts it.

    Args:
        head: context latents -> [B, chunk, A]; has an attribute ``chunk``.
        start: index in ``batch["action"]`` of the present step: Tc - 1.
        kind: "l1" or "l2" (mean squared).
    """

    def __init__(self, head: ChunkDecoder | MLPChunk, *, start: int, kind: Literal["l1", "l2"] = "l1"):
        super().__init__()
        if kind not in ("l1", "l2"):
            raise ValueError(f'kind must be "l1" or "l2", got {kind!r}')
        self.head = head
        self.start = start
        self.kind = kind

    def forward(self, prediction: Prediction, batch: TensorDict) -> dict[str, Tensor]:
        """Returns {"action_<kind>": scalar}, in normalised units, averaged over real actions.

        Raises:
            ValueError: the batch holds fewer than start + chunk actions.
        """
        stop = self.start + self.head.chunk
        action, valid = batch["action"], batch["action_valid"][:, self.start : stop]
        if action.shape[1] < stop:
            raise ValueError(f"the chunk needs {stop} actions a window, the batch has {action.shape[1]}: lengthen it")
        difference = self.head(prediction.context) - blank(action[:, self.start : stop], valid)
        error = difference.abs() if self.kind == "l1" else difference.square()
        return {f"action_{self.kind}": masked_mean(error.mean(-1), valid)}
