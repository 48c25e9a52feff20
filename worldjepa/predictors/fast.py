"""Rollouts of a causal predictor without gradients, for planning on a processor: the same numbers, sooner.

Weights are packed once (see packed.py) with what can be merged into them: the 1 of ``1 + scale`` and the scale of
attention. Samples are imagined a part at a time, so that what lies between two products stays in the cache; the context
is processed once for all rollouts from it. `CausalPredictor` is the reference.
"""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worldjepa.predictors.adaln import ConditionalBlock
from worldjepa.predictors.causal import CausalPredictor
from worldjepa.predictors.packed import Apply, merged, packed, packed_chain, packed_linear
from worldjepa.predictors.samples import split_samples

PART = 2**20
"""Numbers of the widest tensor of one step of a part of the samples: 4 MiB, some times the cache of a core."""

Past = list[tuple[Float[Tensor, "b _ n r k"], Float[Tensor, "b _ n r k"]]]
"""Keys and values of earlier frames, of all samples alike or of each."""


class FastRollout:
    """`CausalPredictor.rollout` from a copy of the weights, renewed when they change (other than through ``.data``).

    What it is not made for goes through ``predictor.rollout``: gradients, training, other devices and dtypes, rollouts
    beyond the context.
    """

    def __init__(self, predictor: CausalPredictor):
        self.predictor = predictor
        self._weights: list[tuple[int, int]] = []
        self._context: tuple[Tensor, Tensor, list[Past]] | None = None

    def __call__(self, z: Float[Tensor, "b tc n d"], action: Tensor) -> Tensor:
        """As `CausalPredictor.rollout`."""
        _, shape = split_samples(z, action)
        if not self._fits(z, action):
            return self.predictor.rollout(z, action)
        self._pack()
        samples = action if action.ndim == 4 else action[:, None]
        part = max(1, PART // (self._widest * z.shape[2]))
        rows = max(1, part // samples.shape[1])
        past = self._past(z[:, :-1], samples[:, :1, : z.shape[1] - 1])
        imagined = []
        for first in range(0, len(z), rows):
            here = slice(first, first + rows)
            kept = [[(k[here], v[here]) for k, v in frames] for frames in past]
            parts = samples[here, :, z.shape[1] - 1 :].split(part, dim=1)
            imagined.append(torch.cat([self._imagine(z[here, -1:], a, kept) for a in parts], dim=1))
        return torch.cat(imagined).reshape(shape)

    def _fits(self, z: Tensor, action: Tensor) -> bool:
        own = self.predictor
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or own.training:
            return False
        sizes = z.shape[2:] == (own.num_tokens, own.dim) and action.shape[-1] == own.action_dim
        tensors = (z, action, *own.parameters())
        plain = all(x.device.type == "cpu" and x.dtype == torch.float32 and not x.is_inference() for x in tensors)
        return sizes and plain and action.shape[-2] <= own.context_length

    def _imagine(self, z: Float[Tensor, "b one n d"], action: Float[Tensor, "b s h a"], past: list[Past]) -> Tensor:
        """Latents [B, S, H, N, D] of the steps after the present."""
        kept = [list(frames) for frames in past]
        conditions = self._embed(action.movedim(2, 0).contiguous())
        frame, imagined = z, []
        for condition in conditions:
            frame = self._step(frame, condition[:, :, None], kept)
            imagined.append(frame)
        return torch.stack(imagined, dim=2)

    def _past(self, z: Tensor, action: Tensor) -> list[Past]:
        """Keys and values of the frames before the present, for each block; kept for the next rollout."""
        if self._context is not None and torch.equal(self._context[0], z) and torch.equal(self._context[1], action):
            return self._context[2]
        past: list[Past] = [[] for _ in self._blocks]
        for t in range(z.shape[1]):
            self._step(z[:, t : t + 1], self._embed(action[:, :, t])[:, :, None], past)
        self._context = (z.clone(), action.clone(), past)
        return past

    def _embed(self, action: Float[Tensor, "*n a"]) -> Float[Tensor, "*n d"]:
        """What blocks make of the action before they multiply it with weights of their own."""
        return self._narrow(self._wide(action))

    def _step(self, z: Float[Tensor, "b _ n d"], condition: Float[Tensor, "b s one w"], past: list[Past]) -> Tensor:
        """The frame after ``z``; adds the keys and values of ``z`` to ``past``."""
        x = self._project(z + self.predictor.position[len(past[0])])
        for block, frames in zip(self._blocks, past):
            x = block(x, condition, frames)
        x = self._out(x)
        return z + x if self.predictor.residual else x

    def _pack(self) -> None:
        """Copy the weights if they are others than the last time."""
        weights = [(x.data_ptr(), x._version) for x in self.predictor.parameters()]
        if weights == self._weights:
            return
        own = self.predictor
        smooth, wide, _, narrow = own.action
        last = merged(narrow, own.condition) if isinstance(own.condition, nn.Linear) else cast(nn.Linear, narrow)
        self._wide, self._narrow = packed_linear(merged(smooth, wide), nn.SiLU), packed_linear(last, nn.SiLU)
        self._project = packed_chain([own.project])
        self._blocks = [FastBlock(cast(ConditionalBlock, block)) for block in own.blocks]
        self._widest = max(block.widest for block in self._blocks)
        last = own.projector if isinstance(own.projector, nn.Sequential) else [own.projector]
        self._out = packed_chain([own.norm, own.out, *last])
        self._weights, self._context = weights, None


class FastBlock:
    """A `ConditionalBlock` with its weights packed."""

    def __init__(self, block: ConditionalBlock):
        attention, (norm, wide, _, _, narrow, _) = block.attention, block.ffn
        self._num_heads = attention.num_heads
        qkv = attention.qkv.weight.detach().clone()
        rows = len(qkv) // 3
        qkv[:rows] *= (rows // attention.num_heads) ** -0.5
        self._qkv, self._out = packed(qkv, None), packed_linear(attention.out[0])
        self._wide, self._narrow = packed_linear(wide, nn.GELU), packed_linear(narrow)
        last = cast(nn.Linear, block.modulation[1])
        one = last.bias.new_tensor([0.0, 1.0, 0.0, 0.0, 1.0, 0.0]).repeat_interleave(last.in_features)
        self._modulation = packed(last.weight, last.bias + one)
        self.widest = max(len(qkv), len(one), cast(nn.Linear, wide).out_features)
        norm_a, norm_f = block.norms
        self._norms = [_layer_norm(x) for x in (norm_a, attention.norm, norm_f, norm)]

    def __call__(self, x: Tensor, condition: Tensor, past: Past) -> Float[Tensor, "b s n d"]:
        """``condition``: SiLU of it; adds keys and values to ``past``."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self._modulation(condition).chunk(6, -1)
        norm_a, norm_attention, norm_f, norm_ffn = self._norms
        y = norm_attention(torch.addcmul(shift_a, norm_a(x), scale_a))
        x = torch.addcmul(x, gate_a, self._out(self._attend(self._qkv(y), past)))
        y = norm_ffn(torch.addcmul(shift_f, norm_f(x), scale_f))
        return torch.addcmul(x, gate_f, self._narrow(self._wide(y)))

    def _attend(self, qkv: Float[Tensor, "b s n w"], past: Past) -> Float[Tensor, "b s n _"]:
        q, k, v = qkv.unflatten(-1, (3, self._num_heads, -1)).unbind(-3)
        past.append((k, v))
        if q.shape[2] > 1:
            keys, values = (torch.cat([x.expand_as(q) for x in kept], 2) for kept in zip(*past))
            q, keys, values = (x.transpose(2, 3) for x in (q, keys, values))
            y = F.scaled_dot_product_attention(q, keys, values, scale=1.0)
            return y.transpose(2, 3).flatten(3)
        # One query a sample: too little for the kernels of attention and matrix products, elementwise is sooner.
        if len(past) == 1:
            return v.flatten(3)
        shares = torch.stack([(q * k).sum(-1, keepdim=True) for k, _ in past]).softmax(0)
        y = shares[0] * past[0][1]
        for share, (_, v) in zip(shares[1:], past[1:]):
            y.addcmul_(share, v)
        return y.flatten(3)


def _layer_norm(module: nn.Module) -> Apply:
    """With a copy of its scale and shift; where it has none, with ones and zeros, which takes half of the time."""
    norm = cast(nn.LayerNorm, module)
    shape, eps = list(norm.normalized_shape), norm.eps
    weight = torch.ones(shape) if norm.weight is None else norm.weight.detach().clone()
    bias = torch.zeros(shape) if norm.bias is None else norm.bias.detach().clone()
    return lambda x: F.layer_norm(x, shape, weight, bias, eps)
