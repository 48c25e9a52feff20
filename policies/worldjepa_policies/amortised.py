"""Planning without search: a head that was trained to say which action leads from one latent to another."""

from collections import deque
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor

from worldjepa.learner import Learner
from worldjepa.objectives.dynamics import InverseDynamics
from worldjepa.recipes.table import recipe
from worldjepa_policies.blocks import ActionBlocks
from worldjepa_policies.frames import read_frame, read_goal, row_of, stack_frames


class InverseDynamicsPolicy:
    """Executes the action block that inverse dynamics gives for (present, goal), then asks again.

    An amortised planner (arXiv 2605.08732): one pass instead of thousands of imagined sequences. The head must have
    been trained on pairs as far apart as goals are: `ac_jepa.Config` with ``inverse`` above 0 and ``inverse_gap`` as
    many blocks as that. One trained on neighbours only, the default, is asked about what it never saw unless the goal
    is a block away.

    Args:
        learner: whose objective has an `InverseDynamics` term.
        goal_prefix, low, high, device: see `MPCPolicy`.

    Raises:
        ValueError: no such term, or no bounds.
    """

    def __init__(
        self,
        learner: Learner,
        *,
        goal_prefix: str = "goal_",
        low: Sequence[float] | None = None,
        high: Sequence[float] | None = None,
        device: str | torch.device = "cpu",
    ):
        origin = learner.origin
        self.learner, self.device = learner.to(device).eval(), device
        self.head = self.learner.objective.term(InverseDynamics)
        self.keys = recipe(origin.recipe).window(origin.config, origin.spec).keys
        self.blocks = ActionBlocks(self.learner, low, high)
        self.goal_prefix = goal_prefix
        self._rows: dict[int, deque[Tensor]] = {}

    def reset(self, done: Bool[Tensor, "b"]) -> None:
        """Forget what is left of the block of the rows where ``done`` is True."""
        for i in done.nonzero().flatten().tolist():
            self._rows.pop(i, None)

    @torch.no_grad()
    def act(self, obs: TensorDict) -> Float[Tensor, "b a"]:
        """Actions in raw units for one frame of observations and goals each.

        Raises:
            ValueError: an observation or goal of the model is missing or of another modality.
        """
        spec = self.learner.origin.spec.obs
        frames = {key: read_frame(obs, key) for key in self.keys}
        goals = {key: read_goal(obs, key, spec, self.goal_prefix) for key in self.keys}
        actions = []
        for i in range(len(obs)):
            queue = self._rows.setdefault(i, deque())
            if not queue:  # one row at a time: an episode does not depend on those beside it
                pair = stack_frames([[row_of(frames, i), row_of(goals, i)]]).to(self.device)
                queue.extend(self.blocks.raw(self.head.actions(self.learner.encode(pair))[0, 0]))
            actions.append(queue.popleft())
        return torch.stack(actions)
