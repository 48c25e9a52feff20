"""The next view from an aggregate of views and actions, and the action to it (seq-JEPA, arXiv 2505.03176)."""

from typing import Literal

import torch
from jaxtyping import Float
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.blocks import EncoderBlock


class AggregatePredictor(nn.Module):
    """A transformer gathers M views, each beside the action that leads on from it, in one token; a perceptron reads
    that token and the action to the view that is asked for.

    Views have no positions: their order counts only in so far as the last one has no action beside it. Post-norm
    blocks with ReLU and a last layer norm, as released.

    Args:
        dim: C, width of a latent, in and out; one token a view.
        action_dim: A, width of an action; 0 only with no conditioning.
        action_embed: E, width of an action's embedding: a linear map and a batch norm without weights.
        layers, num_heads, dropout: of the transformer.
        ffn: its feed-forward width, as a multiple of its width.
        hidden: hidden width of the perceptron, which has a batch norm.
        condition_tokens: tell the transformer the actions between views; its width is then C + E, else C.
        condition_predictor: tell the perceptron the action to the target.
        unused_action: what takes the last view's place where the batch norm of the tokens' actions takes its
            statistics, see `seq_jepa.Config`.
        context_length: M, views it is trained on; it can read any number.

    Raises:
        ValueError: sizes below 1, an action to be told that has none, heads that do not divide the width.
    """

    def __init__(
        self,
        *,
        dim: int,
        action_dim: int,
        action_embed: int = 128,
        layers: int = 3,
        num_heads: int = 4,
        ffn: int = 4,
        hidden: int = 1024,
        dropout: float = 0.1,
        condition_tokens: bool = True,
        condition_predictor: bool = True,
        unused_action: Literal["skip", "zero", "keep"] = "skip",
        context_length: int = 3,
    ):
        super().__init__()
        conditioned = condition_tokens or condition_predictor
        if min(dim, action_embed, layers, ffn, hidden, context_length) < 1 or action_dim < int(conditioned):
            raise ValueError(
                f"expected sizes of at least 1, got dim {dim}, action_dim {action_dim}, action_embed {action_embed}, "
                f"layers {layers}, ffn {ffn}, hidden {hidden}, context_length {context_length}; without actions set "
                "condition_tokens and condition_predictor to False"
            )
        if unused_action not in ("skip", "zero", "keep"):
            raise ValueError(f'unused_action must be "skip", "zero" or "keep", got {unused_action!r}')
        self.dim, self.action_dim, self.action_embed = dim, action_dim, action_embed
        self.condition_tokens, self.condition_predictor = condition_tokens, condition_predictor
        self.unused_action, self.context_length = unused_action, context_length
        self.width = dim + (action_embed if condition_tokens else 0)
        """Width of the aggregate."""
        if num_heads < 1 or self.width % num_heads:
            raise ValueError(
                f"{num_heads} heads do not divide the aggregate's width {self.width} (latents of {dim}"
                f"{f' and embedded actions of {action_embed}' if condition_tokens else ''}): choose num_heads or "
                "action_embed so that they do"
            )
        self.action: nn.Module | None = None
        if conditioned:
            self.action = nn.Sequential(
                nn.Linear(action_dim, action_embed, bias=False), nn.BatchNorm1d(action_embed, affine=False)
            )
        self.token = nn.Parameter(torch.zeros(self.width))
        blocks = {"dropout": dropout, "norm": "post", "activation": nn.ReLU}
        self.blocks = nn.ModuleList(
            EncoderBlock(self.width, num_heads, ffn * self.width, **blocks)  # pyright: ignore[reportArgumentType]
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(self.width)
        self.head = nn.Sequential(
            nn.Linear(self.width + (action_embed if condition_predictor else 0), hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, dim),
        )

    def forward(self, z: Float[Tensor, "b m 1 c"], query: TensorDict) -> Float[Tensor, "b 1 1 c"]:
        """The latent of the view after the last, to which ``query["action"][:, M - 1]`` leads.

        Raises:
            ValueError: fewer actions than views, latents or actions of another width.
        """
        action = self._check(z, query.get("action", None), z.shape[1])
        upcoming = None
        if self.condition_predictor:
            if action is None:
                raise ValueError("the predictor is told the action to the target, and the query has no action")
            upcoming = self.embed(action[:, z.shape[1] - 1])
        return self.predict(self.aggregate(z, action), upcoming)

    def embed(self, action: Float[Tensor, "*b a"]) -> Float[Tensor, "*b e"]:
        """Embeddings of actions.

        Raises:
            ValueError: the predictor is told no actions.
        """
        if self.action is None:
            raise ValueError("this predictor is told no actions, so it has no embedding of them")
        return self.action(action.flatten(0, -2)).view(*action.shape[:-1], self.action_embed)

    def aggregate(self, z: Float[Tensor, "b m 1 c"], action: Float[Tensor, "b k a"] | None) -> Float[Tensor, "b w"]:
        """z_AGG: one vector for a sequence of views, C + E wide if the tokens are told actions, else C.

        Args:
            z: latents of M >= 1 views.
            action: ``action[:, i]`` leads from view i to view i + 1; the first M - 1 are looked at. None: the tokens
                are told nothing, in place of whose embeddings stand zeros.
        """
        count = z.shape[1] - (self.unused_action != "keep")
        action = self._check(z, action, count if self.condition_tokens else 0)
        tokens = z.squeeze(2)
        if self.condition_tokens:
            tokens = torch.cat([tokens, self._beside(tokens, action)], dim=-1)
        x = torch.cat([self.token.expand(len(z), 1, -1), tokens], dim=1)
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm(self.blocks[-1](x, first=1))[:, 0]

    def predict(
        self, aggregate: Float[Tensor, "b w"], upcoming: Float[Tensor, "b e"] | None = None
    ) -> Float[Tensor, "b 1 1 c"]:
        """The latent of the target from z_AGG and the embedding of the action to it."""
        read = aggregate if upcoming is None else torch.cat([aggregate, upcoming], dim=-1)
        return self.head(read)[:, None, None]

    def _beside(self, tokens: Float[Tensor, "b m c"], action: Tensor | None) -> Float[Tensor, "b m e"]:
        """What stands beside each view: the embedding of its action, beside the last one zeros."""
        count = tokens.shape[1]
        zeros = tokens.new_zeros(len(tokens), count, self.action_embed)
        if action is None:
            return zeros
        shown = action[:, : count if self.unused_action == "keep" else count - 1]
        if self.unused_action == "zero":
            shown = torch.cat([shown, torch.zeros_like(action[:, :1])], dim=1)
        known = self.embed(shown)[:, : count - 1] if shown.shape[1] else zeros[:, :0]
        return torch.cat([known, zeros[:, :1]], dim=1)

    def _check(self, z: Tensor, action: Tensor | None, num_actions: int) -> Tensor | None:
        """Raises ValueError for what the predictor cannot read."""
        if z.shape[2:] != (1, self.dim) or z.shape[1] < 1:
            raise ValueError(f"expected latents [B, M, 1, {self.dim}] of at least one view, got {tuple(z.shape)}")
        if action is None or self.action is None:
            return None
        if action.shape[1] < num_actions or action.shape[2] != self.action_dim:
            raise ValueError(
                f"expected at least {num_actions} actions of {self.action_dim} numbers for {z.shape[1]} views, got "
                f"{action.shape[1]} of {action.shape[2]}"
            )
        return action
