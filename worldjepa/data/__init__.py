"""Recordings in, batches of windows out: readers and a writer, the memory-mapped store, the window sampler."""

from worldjepa.data.episodes import Episode, EpisodeSource, open_source
from worldjepa.data.goals import GoalOffset, GoalSampler, StartGoals, draw_start_goals
from worldjepa.data.robomimic import RobomimicSource, RobomimicWriter
from worldjepa.data.statistics import Statistics
from worldjepa.data.store import Store, open_store
from worldjepa.data.viewsets import ViewSampler
from worldjepa.data.windows import WindowSampler, split_episodes

__all__ = [
    "Episode",
    "EpisodeSource",
    "GoalOffset",
    "GoalSampler",
    "RobomimicSource",
    "RobomimicWriter",
    "StartGoals",
    "Statistics",
    "Store",
    "ViewSampler",
    "WindowSampler",
    "draw_start_goals",
    "open_source",
    "open_store",
    "split_episodes",
]
