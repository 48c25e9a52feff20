"""torch.compile for the parts that compute, with an error that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from worldjepa.learner import Learner
from worldjepa.train.sharding import compute_heavy


def compile_parts(learner: Learner) -> None:
    """Compile encoder and predictor in place (their names in the checkpoint stay); the work happens at the first call.

    Raises:
        ValueError: the model has neither.
    """
    parts = compute_heavy(learner)
    if not parts:
        raise ValueError("FitConfig.compile needs a learner with model.encoder or model.predictor; set compile=False")
    for part in parts:
        part.compile()


@contextmanager
def compile_errors_explained() -> Iterator[None]:
    """Says what to do when the compiler fails at the first forward or backward.

    Raises:
        RuntimeError: the compiler failed.
    """
    try:
        yield
    except RuntimeError as error:
        # By name: importing torch._dynamo takes a second that runs without the compiler need not spend.
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise RuntimeError(
            f"torch.compile failed: {str(error).splitlines()[0]}. "
            "It needs a C++ compiler (on Debian: apt-get install g++) and code it can trace; or set compile=False"
        ) from error
