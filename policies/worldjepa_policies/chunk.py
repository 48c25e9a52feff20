"""The deployed form of every policy with a chunk head: ACT-JEPA, ACT and behaviour cloning."""

from collections import deque

import torch
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Tensor

from worldjepa.learner import Learner
from worldjepa.recipes.table import recipe
from worldjepa.types import nested
from worldjepa_policies.frames import read_frame


class ChunkPolicy:
    """Asks the network for a chunk of actions, executes some of them, asks again.

    Each row of the batch keeps its own history and queue, and the network sees one row at a time: an episode's actions
    do not depend on which other episodes run beside it, to the last bit.

    Args:
        learner: a trained learner with an action head.
        n_action_steps: actions executed of each chunk, 1 to the chunk's length; None: all of them.
        temporal_ensemble: None, or the decay m >= 0 of ACT's ensembling: every step the network is asked, and the
            action is the mean of all chunks' actions for this step, weighted exp(-m i), i = 0 for the oldest chunk
            (arXiv 2304.13705, algorithm 2). Needs ``n_action_steps`` 1 or None.
        device: where the network runs.

    Raises:
        ValueError: ``n_action_steps`` out of range, or both options contradict each other.
    """

    def __init__(
        self,
        learner: Learner,
        *,
        n_action_steps: int | None = None,
        temporal_ensemble: float | None = None,
        device: str | torch.device = "cpu",
    ):
        origin = learner.origin
        window = recipe(origin.recipe).window(origin.config, origin.spec)
        chunk = origin.config.chunk
        if temporal_ensemble is not None:
            if n_action_steps not in (None, 1):
                raise ValueError(
                    f"temporal ensembling asks at every step: n_action_steps must be 1, got {n_action_steps}"
                )
            if temporal_ensemble < 0:
                raise ValueError(f"temporal_ensemble must be at least 0, got {temporal_ensemble}")
            n_action_steps = 1
        steps: int = chunk if n_action_steps is None else n_action_steps
        if not 1 <= steps <= chunk:
            raise ValueError(f"n_action_steps must lie in 1..{chunk} (the chunk), got {steps}")
        self.learner = learner.to(device).eval()
        self.keys, self.history = window.seen, window.history
        self.n_action_steps, self.temporal_ensemble, self.device = steps, temporal_ensemble, device
        self._rows: dict[int, _Row] = {}
        self._resting: set[int] = set()

    def reset(self, done: Bool[Tensor, "b"]) -> None:
        """Forget the history and the queue of the rows where ``done`` is True."""
        for i in done.nonzero().flatten().tolist():
            self._rows.pop(i, None)

    def rest(self, done: Bool[Tensor, "b"]) -> None:
        """Ask the network nothing for exactly the rows where ``done`` is True; their actions are zeros."""
        self._resting = set(done.nonzero().flatten().tolist())

    @torch.no_grad()
    def act(self, obs: TensorDict) -> Float[Tensor, "b a"]:
        """Actions in raw units for one frame of observations each.

        Raises:
            ValueError: an observation key of the model is missing.
        """
        frames = {key: read_frame(obs, key) for key in self.keys}
        return torch.stack([self._act_row(i, {k: v[i] for k, v in frames.items()}) for i in range(len(obs))])

    def _act_row(self, i: int, frame: dict[str, Tensor]) -> Tensor:
        if i in self._resting:
            return torch.zeros(self.learner.origin.spec.action_dim)
        row = self._rows.setdefault(i, _Row(deque(maxlen=self.history)))
        row.frames.append(frame)
        while len(row.frames) < self.history:  # as in training, frames before the start repeat the first
            row.frames.appendleft(frame)
        if self.temporal_ensemble is not None:
            return self._ensemble(row)
        if not row.queue:
            row.queue.extend(self._chunk(row)[: self.n_action_steps])
        return row.queue.popleft()

    def _ensemble(self, row: "_Row") -> Tensor:
        row.chunks = [chunk[1:] for chunk in row.chunks if len(chunk) > 1]
        row.chunks.append(self._chunk(row))
        assert self.temporal_ensemble is not None
        weight = torch.exp(-self.temporal_ensemble * torch.arange(len(row.chunks), dtype=torch.float32))
        actions = torch.stack([chunk[0] for chunk in row.chunks])
        return (actions * (weight / weight.sum())[:, None]).sum(0)

    def _chunk(self, row: "_Row") -> Float[Tensor, "chunk a"]:
        obs = TensorDict({}, batch_size=[1, self.history])
        for key in self.keys:
            obs[nested(key)] = torch.stack([frame[key] for frame in row.frames])[None]
        return self.learner.actions(obs.to(self.device))[0].cpu()


class _Row:
    """What one environment's policy remembers."""

    def __init__(self, frames: deque[dict[str, Tensor]]):
        self.frames = frames
        self.queue: deque[Tensor] = deque()
        self.chunks: list[Tensor] = []
