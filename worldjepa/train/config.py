"""Everything a training run can be told, apart from the recipe and the data."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Configuration of `fit`.

    Raises:
        ValueError: a field out of its range, or neither ``steps`` nor ``max_seconds`` given.
    """

    steps: int | None = 10_000
    """Optimiser steps in all. With `max_seconds` the run ends at whichever comes first; None: time alone decides."""
    max_seconds: float | None = None
    """Training time in seconds (evaluation and checkpoints not counted) after which the run ends."""
    clock: Literal["wall", "cpu"] = "wall"
    """What `max_seconds` counts: wall time, or CPU time of the (first) process, fair on a shared machine."""
    batch_size: int = 128
    """Windows in one call of the batch function, over all processes together."""
    accumulate: int = 1
    """Batches whose mean gradient makes one optimiser step."""
    lr: float = 3e-4
    """Peak learning rate of AdamW."""
    lr_final: float = 0.0
    """Learning rate at the end, as a fraction of the peak; the cosine ends here."""
    warmup: int = 500
    """Steps over which the learning rate rises linearly from near zero."""
    weight_decay: float = 1e-4
    """Decoupled decay of matrices and larger; biases, norms and other vectors are not decayed."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates of the first and second moment."""
    grad_clip: float = 1.0
    """Largest norm of the gradient; longer gradients are scaled down to it. 0: no clipping."""
    average: float = 0.999
    """Decay of the running average of all weights that is evaluated and exported. 0: export the raw weights."""
    precision: Literal["no", "bf16"] = "no"
    """"bf16" computes the forward pass under bfloat16 autocast; weights and optimiser stay float32."""
    device: Literal["auto", "cpu"] = "auto"
    """"auto" takes the accelerator where there is one."""
    sharded: bool = False
    """Shard weights, gradients and optimiser state over the processes (FSDP2) instead of copying them (DDP)."""
    unused_parameters: bool = False
    """Let DDP search for parameters that do not reach the loss; slower, needed only if there are any."""
    compile: bool = False
    """Compile ``learner.model.encoder`` and ``.predictor`` with torch.compile; needs a C++ compiler."""
    threads: int | None = None
    """Threads of torch in this process (torch.set_num_threads). None: leave as it is."""
    seed: int = 0
    """Seed of torch, numpy and random (dropout, sampling of views); process r uses seed + r."""
    log_every: int = 50
    """Steps between two rows of metrics; a row holds the means since the last one."""
    monitor_every: int = 500
    """Steps between two looks at collapse (``learner.diagnostics``). 0: never."""
    evaluate_every: int = 1000
    """Steps between two calls of the evaluate hook, where one is given. 0: only at the end."""
    save_every: int = 1000
    """Steps between two checkpoints; the last step is always saved. 0: only the last step."""
    keep_last: int = 2
    """Newest checkpoints to keep; older ones are deleted."""
    keep_every: int = 0
    """Checkpoints at multiples of this many steps are kept for ever. 0: none."""

    def __post_init__(self):
        if self.steps is None and self.max_seconds is None:
            raise ValueError("FitConfig needs an end: give steps, max_seconds or both")
        positive = {"steps", "max_seconds", "batch_size", "accumulate", "lr", "log_every", "keep_last", "threads"}
        for name in positive:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"FitConfig.{name} must be positive, got {value}")
        at_least_zero = {"warmup", "weight_decay", "grad_clip", "monitor_every", "evaluate_every", "save_every"}
        for name in at_least_zero | {"keep_every", "lr_final"}:
            if getattr(self, name) < 0:
                raise ValueError(f"FitConfig.{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.average < 1:
            raise ValueError(f"FitConfig.average is a decay in [0, 1), got {self.average}")
