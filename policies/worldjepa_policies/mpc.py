"""Planning with a world model: imagine, choose, act a little, look, plan again."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from tensordict import TensorDict
from torch import Generator, Tensor

from worldjepa.learner import Learner
from worldjepa.plan import Imagines, Plan, Planner
from worldjepa.plan.cost import Distance, Reduce
from worldjepa.recipes.table import recipe
from worldjepa_policies.blocks import ActionBlocks
from worldjepa_policies.costs import MakeCost, mixed_cost
from worldjepa_policies.frames import Frame, read_frame, read_goal, row_of, stack_frames


class Proposal(Protocol):
    """Where a search may begin, other than at the last plan."""

    def reset(self, done: Bool[Tensor, "b"]) -> None:
        """Forget the rows where ``done`` is True."""
        ...

    def see(self, obs: TensorDict) -> None:
        """Observations [B] of a control step, before it is decided what to do."""
        ...

    def propose(self, row: int, generator: Generator) -> Float[Tensor, "h w"]:
        """Normalised action blocks from now on; cut or filled up to the horizon."""
        ...


class MPCPolicy:
    """Model predictive control in latent space: toward goals, in any environment made with ``goal_obs=True``; toward
    what a reward or success head likes, in any environment at all; or both.

    At each replanning it encodes what it saw, a stride apart, and the goal; searches blocks of actions whose imagined
    latents come near to the goal's (or see `mixed_cost`); and executes the first of them. An episode begins with less
    history than later: the model is then given fewer frames, never invented ones. Each search begins at what is left of
    the last plan.

    Args:
        learner: a trained world model (recipe "ac_jepa", or one whose predictor has ``rollout``).
        planner: e.g. `worldjepa.plan.CEM`; works in normalised action units.
        horizon: H, action blocks of a plan; a block is ``stride`` control steps.
        execute: blocks executed of each plan, 1 to H; None: all of them.
        goal, reward, success, penalty: weights of the distance to the goal, of what the learner's heads say, and of
            `action_penalty`, see `mixed_cost`. With ``goal`` 0 no goals are read.
        reduce, distance: of the distance to the goal, see `goal_cost`.
        make_cost: a cost of the user's own in place of all that.
        goal_prefix: the goal of observation "image" is read from ``goal_prefix + "image"``.
        low, high: bounds of the actions in raw units; None: those of the data's action space.
        proposal: where searches begin; the last plan is then one candidate.
        model: imagines in the place of the learner's model, on its latents.
        together: plan all rows that ask at once in one batch, which is faster. A row's random numbers are its own all
            the same, but matrix products of other sizes differ in the last bits, so that results depend, by rounding,
            on the number of environments. Else row by row, to the last bit alike for any number of them.
        device: where the model runs. A seed means other numbers on another kind of device.
        seed: of rows that nobody seeds.

    Raises:
        ValueError: an option out of range, no bounds, a model that cannot be rolled out, or not so far.
    """

    def __init__(
        self,
        learner: Learner,
        planner: Planner,
        *,
        horizon: int = 5,
        execute: int | None = None,
        goal: float = 1.0,
        reward: float = 0.0,
        success: float = 0.0,
        penalty: float = 0.0,
        reduce: Reduce = "sum",
        distance: Distance = "l2",
        make_cost: MakeCost | None = None,
        goal_prefix: str = "goal_",
        low: Sequence[float] | None = None,
        high: Sequence[float] | None = None,
        proposal: Proposal | None = None,
        model: Imagines | None = None,
        together: bool = False,
        device: str | torch.device = "cpu",
        seed: int = 0,
    ):
        origin = learner.origin
        window = recipe(origin.recipe).window(origin.config, origin.spec)
        execute = horizon if execute is None else execute
        if horizon < 1 or not 1 <= execute <= horizon:
            raise ValueError(f"expected a horizon of at least 1 and execute in 1..horizon, got {horizon} and {execute}")
        self.learner, self.planner, self.device = learner.to(device).eval(), planner, torch.device(device)
        self.horizon, self.execute, self.together, self.goal_prefix = horizon, execute, together, goal_prefix
        self.keys, self.history = window.keys, window.history
        self.blocks = ActionBlocks(self.learner, low, high)
        self.model: Imagines = learner.model if model is None else model
        weights = {"reward": reward, "success": success, "penalty": penalty}
        if make_cost is None:
            make_cost = mixed_cost(self.learner, goal=goal, **weights, reduce=reduce, distance=distance)
        elif any(weights.values()):
            raise ValueError(f"a cost of one's own takes no weights: put what {weights} mean into make_cost")
        self._cost, self._reads_goals = make_cost, goal > 0
        self._proposal, self._seed = proposal, seed
        self._rows: dict[int, _Row] = {}
        self._resting: set[int] = set()
        self._generators: dict[int, Generator] = {}
        self._rehearse()

    def reset(self, done: Bool[Tensor, "b"]) -> None:
        """Forget history, plan and queue of the rows where ``done`` is True; random numbers go on."""
        for i in done.nonzero().flatten().tolist():
            self._rows.pop(i, None)
        if self._proposal is not None:
            self._proposal.reset(done)

    def rest(self, done: Bool[Tensor, "b"]) -> None:
        """Make no plans for exactly the rows where ``done`` is True; their actions are zeros."""
        self._resting = set(done.nonzero().flatten().tolist())

    def seed(self, row: int, seed: int) -> None:
        """Row ``row`` draws from ``seed`` from here on."""
        self._generators[row] = Generator(self.device).manual_seed(seed)

    def plan_of(self, row: int) -> Plan | None:
        """The plan that row ``row`` follows, a batch of one in normalised units; None before its first."""
        return self._rows[row].plan if row in self._rows else None

    @torch.no_grad()
    def act(self, obs: TensorDict) -> Float[Tensor, "b a"]:
        """Actions in raw units for one frame of observations and goals each.

        Raises:
            ValueError: an observation or goal of the model is missing or of another modality, or a cost not finite.
        """
        spec = self.learner.origin.spec.obs
        frames = {key: read_frame(obs, key) for key in self.keys}
        goals = {key: read_goal(obs, key, spec, self.goal_prefix) for key in self.keys if self._reads_goals}
        if self._proposal is not None:
            self._proposal.see(obs)
        rows = {i: self._row(i) for i in range(len(obs)) if i not in self._resting}
        begun = [i for i, row in rows.items() if not row.actions]
        for i in begun:
            rows[i].frames.append(row_of(frames, i))
            rows[i].goal = row_of(goals, i)
        for group in self._groups([i for i in begun if not rows[i].blocks]):
            self._replan(group)
        for i in begun:
            block = rows[i].blocks.popleft()
            rows[i].past.append(block)
            rows[i].actions.extend(self.blocks.raw(block))
        nothing = torch.zeros(self.learner.origin.spec.action_dim)
        return torch.stack([rows[i].actions.popleft() if i in rows else nothing for i in range(len(obs))])

    def _row(self, i: int) -> "_Row":
        if i not in self._generators:
            self.seed(i, self._seed + i)
        if i not in self._rows:
            self._rows[i] = _Row(deque(maxlen=self.history), deque(maxlen=self.history - 1))
        return self._rows[i]

    def _groups(self, asking: list[int]) -> Iterator[list[int]]:
        """Rows to plan in one batch: alone, or those of equally long history and equally many candidates."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for i in asking:
            row = self._rows[i]
            key = (len(row.frames), row.num_elites) if self.together else (i,)
            alike.setdefault(key, []).append(i)
        yield from alike.values()

    def _replan(self, group: list[int]) -> None:
        """A new plan for each of these rows."""
        rows = [self._rows[i] for i in group]
        z = self.learner.encode(stack_frames([row.frames for row in rows]).to(self.device))
        goal = z[:, :0]
        if self._reads_goals:
            goal = self.learner.encode(stack_frames([[row.goal] for row in rows]).to(self.device))
        past = None
        if z.shape[1] > 1:
            past = torch.stack([torch.stack(list(row.past)) for row in rows])
        cost = self._cost(self.model, z, goal, past)
        starts = [self._starts(i) for i in group]
        plan = self.planner.plan(
            cost,
            torch.stack([start[0] for start in starts]),
            [self._generators[i] for i in group],
            low=self.blocks.low,
            high=self.blocks.high,
            candidates=torch.stack([start[1:] for start in starts]),
        )
        for number, row in enumerate(rows):
            only = slice(number, number + 1)
            elites = None if plan.elites is None else plan.elites[only]
            row.plan = Plan(plan.action[only], plan.cost[only], plan.num_evaluated, elites)
            row.blocks.extend(plan.action[number, : self.execute])

    def _starts(self, i: int) -> Float[Tensor, "c h w"]:
        """Where row ``i`` begins to search, then the candidates beside it."""
        plan = self._rows[i].plan
        if plan is None:
            starts = [self._filled(self.blocks.low.new_empty(1, 0, self.blocks.width))]
        else:
            starts = [self._filled(plan.action[:, self.execute :])]
            if plan.elites is not None and self.execute < self.horizon:
                starts.append(self._filled(plan.elites[0, :, self.execute :]))
        if self._proposal is not None:
            starts.insert(0, self._filled(self._proposal.propose(i, self._generators[i]).to(self.device)[None]))
        return torch.cat(starts)

    def _filled(self, blocks: Float[Tensor, "c h w"]) -> Float[Tensor, "c horizon w"]:
        """Sequences cut or filled with the mean action (0 in normalised units) to the horizon."""
        short = max(self.horizon - blocks.shape[1], 0)
        return torch.nn.functional.pad(blocks[:, : self.horizon], (0, 0, 0, short))

    @torch.no_grad()
    def _rehearse(self) -> None:
        """Imagine once as far as will be planned, so that a model that cannot says so before an episode runs."""
        predictor = getattr(self.model, "predictor", self.model)
        if not hasattr(predictor, "rollout"):
            raise ValueError(
                f"{type(predictor).__name__} cannot be rolled out: planning needs a world model, e.g. recipe 'ac_jepa'"
            )
        encoder = self.learner.model.encoder
        z = self.blocks.low.new_zeros(1, self.history, encoder.num_tokens, encoder.dim)
        self.model.rollout(z, self.blocks.low.new_zeros(1, 1, self.history - 1 + self.horizon, self.blocks.width))


@dataclass
class _Row:
    """What one environment's policy remembers."""

    frames: deque[Frame]
    """Seen at the beginnings of the last blocks."""
    past: deque[Tensor]
    """The normalised blocks executed between them, and the one begun last."""
    goal: Frame = field(default_factory=dict)
    blocks: deque[Tensor] = field(default_factory=deque)
    """What is left to execute of the plan."""
    actions: deque[Tensor] = field(default_factory=deque)
    """What is left of the block, raw."""
    plan: Plan | None = None

    @property
    def num_elites(self) -> int:
        """Sequences handed on to the next search."""
        return 0 if self.plan is None or self.plan.elites is None else self.plan.elites.shape[1]
