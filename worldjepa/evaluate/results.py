"""What an evaluation found: one record for each episode, and the summary that is read from them."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldjepa.evaluate.statistics import Interval, bootstrap_mean, wilson


@dataclass(frozen=True)
class EpisodeResult:
    """One episode, in raw units; nothing in it depends on what ran beside it."""

    index: int
    """Place in the manifest."""
    seed: int
    success: bool
    steps: int
    steps_to_success: int | None
    """Steps until the success predicate had held long enough."""
    return_: float
    """Sum of rewards; "return" in JSON."""
    score_max: float | None
    """Best score of any moment, the start included."""
    score_final: float | None
    path_length: float | None
    """Distance travelled by the task's ``path_key`` (else by all state keys together)."""
    smoothness: float | None
    """Mean length of the second difference of the actions, in half ranges of the action space; 0 is smoothest."""
    num_clipped: int = 0
    """Steps whose action was clipped to the action space."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        found = asdict(self)
        found["return"] = found.pop("return_")
        return found


@dataclass(frozen=True)
class Evaluation:
    """A policy on all starts of a manifest."""

    policy: str
    env: str
    kwargs: dict[str, Any]
    manifest: dict[str, Any]
    """{"path", "sha256", "n"}."""
    num_dropped: int
    """Starts that were solved already and are not in the manifest."""
    episodes: tuple[EpisodeResult, ...]
    """In the order of the manifest."""
    horizon: int
    hold: int
    """Steps in a row for which success had to hold."""
    score_name: str | None
    ms_per_action: dict[str, float]
    """{"median", "mean", "p95"} milliseconds of the policy for one action."""
    success_threshold: float | None = None
    """Set where success was read from the score, see `at_threshold`."""
    num_envs: int = 1
    out_of_bounds: str = "error"
    videos: tuple[str, ...] = ()
    """Relative to the run folder."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def successes(self) -> NDArray[np.bool_]:
        """[E], in the order of the manifest."""
        return np.array([episode.success for episode in self.episodes], dtype=bool)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Best scores [E].

        Raises:
            ValueError: the task has no score.
        """
        if self.score_name is None:
            raise ValueError(f"{self.env} has no score; give one: task({self.env!r}, score=lambda env, info: ...)")
        return np.array([episode.score_max for episode in self.episodes], dtype=np.float64)

    @property
    def rate(self) -> Interval:
        """Success rate with Wilson's interval."""
        return wilson(int(self.successes.sum()), len(self.episodes))

    @property
    def score(self) -> Interval | None:
        """Mean best score with a bootstrap interval."""
        return None if self.score_name is None else bootstrap_mean(self.scores)

    def at_threshold(self, threshold: float) -> "Evaluation":
        """The same episodes, a success being a best score of at least ``threshold``; when it came is not known.

        Only for thresholds up to the one at which the environment ends an episode.

        Raises:
            ValueError: the task has no score, or success had to hold for more than one step.
        """
        if self.hold > 1:
            raise ValueError(f"success had to hold for {self.hold} steps, of which the best score says nothing")
        hits = self.scores >= threshold
        episodes = tuple(
            replace(e, success=bool(hit), steps_to_success=None) for e, hit in zip(self.episodes, hits, strict=True)
        )
        return replace(self, episodes=episodes, success_threshold=threshold)

    def summary(self) -> str:
        """One line of text."""
        rate, score = self.rate, self.score
        text = f"{self.policy}: {rate.estimate:.1%} [{rate.low:.1%}, {rate.high:.1%}] of {len(self.episodes)} episodes"
        if score is not None:
            text += f", {self.score_name} {score.estimate:.3f} [{score.low:.3f}, {score.high:.3f}]"
        return f"{text}, {self.ms_per_action['mean']:.2f} ms an action"

    def to_json(self) -> dict[str, Any]:
        """As JSON values, summary included; inverse of `from_json`."""
        rate, score = self.rate, self.score
        return {
            "policy": self.policy,
            "env": self.env,
            "kwargs": self.kwargs,
            "success_threshold": self.success_threshold,
            "manifest": self.manifest,
            "dropped_already_solved": self.num_dropped,
            "num_episodes": len(self.episodes),
            "num_envs": self.num_envs,
            "horizon": self.horizon,
            "hold": self.hold,
            "success": {
                "rate": rate.estimate,
                "low": rate.low,
                "high": rate.high,
                "count": int(self.successes.sum()),
                "interval": "Wilson 95 %",
            },
            "score": score
            and {
                "name": self.score_name,
                "mean": score.estimate,
                "low": score.low,
                "high": score.high,
                "interval": "bootstrap 95 %",
            },
            "ms_per_action": self.ms_per_action,
            "out_of_bounds": self.out_of_bounds,
            "clipped_actions": sum(episode.num_clipped for episode in self.episodes),
            "episodes": [episode.to_json() for episode in self.episodes],
            "videos": list(self.videos),
            "versions": self.versions,
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Evaluation":
        """Inverse of `to_json`."""
        score = value["score"]
        return Evaluation(
            policy=value["policy"],
            env=value["env"],
            kwargs=value["kwargs"],
            manifest=value["manifest"],
            num_dropped=value["dropped_already_solved"],
            episodes=tuple(
                EpisodeResult(**{("return_" if k == "return" else k): v for k, v in episode.items()})
                for episode in value["episodes"]
            ),
            horizon=value["horizon"],
            hold=value["hold"],
            score_name=score and score["name"],
            ms_per_action=value["ms_per_action"],
            success_threshold=value["success_threshold"],
            num_envs=value["num_envs"],
            out_of_bounds=value["out_of_bounds"],
            videos=tuple(value["videos"]),
            versions=value["versions"],
        )

    def save(self, run_dir: str | Path) -> Path:
        """Write ``run_dir/evaluations/<policy>.json`` and return its path."""
        path = Path(run_dir) / "evaluations" / f"{self.policy}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        part.replace(path)
        return path

    @staticmethod
    def load(path: str | Path) -> "Evaluation":
        """Read what `save` wrote.

        Raises:
            ValueError: the file is not an evaluation.
        """
        try:
            return Evaluation.from_json(json.loads(Path(path).read_text()))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not an evaluation (a JSON file written by Evaluation.save)") from error
