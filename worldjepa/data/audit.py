"""The wrapper that watches an environment from inside its process: success, score, end of the episode, video."""

import multiprocessing
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym

from worldjepa.data.task import Task
from worldjepa.data.video import VideoWriter

VIDEOS = "worldjepa_videos"
"""Key of the reset options that maps an episode's seed to the file of its video."""


class Audit(gym.Wrapper):
    """Judges every step, and freezes an environment whose episode is over until its next reset.

    A frozen environment repeats its last observation and is not stepped, so the environments of a vector need not
    end together, none is reset behind the evaluator's back, and none costs time once its episode is over. It never
    reports ``terminated`` or ``truncated`` to the vector environment; they are in the info.

    Info of every reset and step: ``success`` (the predicate held for ``hold`` steps, or at the start for that one),
    ``score``, ``ended``, ``terminated``, ``truncated``.

    Args:
        env: one environment of ``task``.
        task: gives predicate, score and horizon.
        hold: steps in a row for which the predicate must hold. Above 1, an environment that terminates because it is
            solved is stepped on.
        stop_on_success: end the episode there.
    """

    def __init__(self, env: gym.Env, task: Task, hold: int = 1, stop_on_success: bool = True):
        super().__init__(env)
        self._task, self._hold, self._stop = task, hold, stop_on_success
        self._observation: Any = None
        self._info: dict[str, Any] = {}
        self._steps = self._held = 0
        self._video: VideoWriter | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start the episode of ``seed``; a start that is solved already has ended."""
        options = dict(options or {})
        videos: dict[int | None, Path] = options.pop(VIDEOS, {})
        self._discard_video()
        self._observation, info = self.env.reset(seed=seed, options=options or None)
        self._steps = self._held = 0
        solved = self._solved(info)
        self._info = self._judge(info, success=solved, ended=solved)
        if seed in videos and not solved:
            self._video = VideoWriter(videos[seed], fps=self._task.fps or 30.0)
            self._draw()
        return self._observation, self._info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step, or none where the episode is over."""
        if self._info["ended"]:
            return self._observation, 0.0, False, False, self._info
        self._observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        solved = self._solved(info)
        self._held = self._held + 1 if solved else 0
        success = self._held >= self._hold
        over = bool(terminated) and not (solved and self._hold > 1 and not success)
        truncated = bool(truncated) or self._steps >= self._task.horizon
        ended = over or truncated or (success and self._stop)
        self._info = self._judge(info, success, ended, bool(terminated), truncated)
        if self._video is not None:
            self._draw()
            if ended:
                self._video.close()
                self._video = None
        return self._observation, float(reward), False, False, self._info

    def close(self) -> None:
        """Close the environment; the video of an episode that did not end is dropped."""
        self._discard_video()
        super().close()

    def _solved(self, info: dict[str, Any]) -> bool:
        return self._task.success is not None and bool(self._task.success(self.env, info))

    def _judge(
        self, info: dict[str, Any], success: bool, ended: bool, terminated: bool = False, truncated: bool = False
    ) -> dict[str, Any]:
        score = float(self._task.score(self.env, info)) if self._task.score else 0.0
        return {"success": success, "score": score, "ended": ended, "terminated": terminated, "truncated": truncated}

    def _draw(self) -> None:
        assert self._video is not None
        frame: Any = self.env.render()
        self._video.append(frame)

    def _discard_video(self) -> None:
        if self._video is not None:
            self._video.discard()
            self._video = None


def audited(task: Task, hold: int, stop_on_success: bool, render: bool) -> Audit:
    """One audited environment; in a worker process, Ctrl-C is left to the parent."""
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return Audit(task.make(render_mode="rgb_array") if render else task.make(), task, hold, stop_on_success)
