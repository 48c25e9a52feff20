"""torch.compile for the parts that compute, with an error that says what to do."""

from torch import nn

from worldjepa.train.sharding import compute_heavy


def compile_parts(learner: nn.Module) -> None:
    """Compile encoder and predictor in place (their names in the checkpoint stay); the work happens at the first call.

    Raises:
        ValueError: the learner has no ``model.encoder`` or ``model.predictor``.
    """
    parts = compute_heavy(learner)
    if not parts:
        raise ValueError("FitConfig.compile needs a learner with model.encoder or model.predictor; set compile=False")
    for part in parts:
        part.compile()
