"""Linear maps whose weights are laid out once for oneDNN, for use without gradients on a processor.

On the AMD processor on which this was measured, oneDNN's products take half of the time of MKL's, which
`torch.nn.functional.linear` calls. Elsewhere it may be less: `examples/benchmarks/planning.py` prints both rollouts.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Apply = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[type[nn.Module], tuple[str, str, Apply]] = {
    nn.GELU: ("gelu", "none", F.gelu),
    nn.SiLU: ("swish", "", F.silu),
}
"""Name and variant of oneDNN's, and torch's, of those that can follow a product at once."""
ROWS = 256
"""The layout is chosen for about so many rows; any number works."""


def can_pack() -> bool:
    """Whether this build of torch has the operations that its own compiler uses for packed weights."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def packed(weight: Tensor, bias: Tensor | None, activation: type[nn.Module] | None = None) -> Apply:
    """``activation(x @ weight.T + bias)`` of any [..., in], from a copy of the weights [out, in]; float32."""
    if not can_pack():
        after = None if activation is None else ACTIVATIONS[activation][2]
        weight, bias = weight.detach().clone(), None if bias is None else bias.detach().clone()
        return lambda x: F.linear(x, weight, bias) if after is None else after(F.linear(x, weight, bias))
    name, variant, _ = ("none", "", None) if activation is None else ACTIVATIONS[activation]
    layout = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)
    shift = None if bias is None else bias.detach().clone()
    run = torch.ops.mkldnn._linear_pointwise
    return lambda x: run(x, layout, shift, name, [], variant)


def packed_linear(linear: nn.Module, activation: type[nn.Module] | None = None) -> Apply:
    """The same of a module."""
    linear = cast(nn.Linear, linear)
    return packed(linear.weight, linear.bias, activation)


def packed_chain(modules: Sequence[nn.Module]) -> Apply:
    """Modules one after the other, the linear ones packed; the others are called as they are."""
    steps = [packed_linear(module) if isinstance(module, nn.Linear) else module for module in modules]

    def run(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return run


def merged(first: nn.Module, second: nn.Module) -> nn.Linear:
    """Two linear maps in a row as one, without gradients."""
    first, second = cast(nn.Linear, first), cast(nn.Linear, second)
    both = nn.Linear(first.in_features, second.out_features)
    weight, bias = second.weight.detach().double(), second.bias.detach().double()
    both.weight.data = (weight @ first.weight.detach().double()).to(first.weight)
    both.bias.data = (weight @ first.bias.detach().double() + bias).to(first.bias)
    return both
