"""The protocol of the Push-T planning benchmark: goals the human reached, of demonstrations nobody learned from."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from worldjepa.data.simulate import simulate
from worldjepa.evaluate.manifest import make_manifest


@pytest.fixture
def benchmark(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(repository / "examples" / "benchmarks"))
    return pytest.importorskip("pusht_planning")


class Human:
    """Does what the demonstration did after the start, which is found by what it looks like."""

    def __init__(self, store, keys):
        self._store, self._keys = store, keys
        self._seen = np.concatenate([store.arrays[f"obs/{key}"] for key in keys], axis=1)
        self._row = 0

    def reset(self, done):
        self._row = -1

    def act(self, obs):
        if self._row < 0:
            now = np.concatenate([obs[key][0].numpy() for key in self._keys])
            self._row = int(np.abs(self._seen - now).sum(1).argmin())
        self._row += 1
        return torch.from_numpy(self._store.arrays["action"][self._row - 1][None].copy())


@pytest.mark.data
@pytest.mark.slow
def test_the_human_reaches_the_goals_and_nobody_learned_from_them(benchmark, data_dir: Path, tmp_path: Path) -> None:
    args = benchmark.Args(data=data_dir / "robot" / "pusht_cchi_v7_replay.zarr.zip", out=tmp_path)
    store = benchmark.open_store(benchmark.demonstrations(args.data, args.out))
    tuning, reported = (benchmark.held_out(store, tuning=flag) for flag in (True, False))
    assert (len(tuning), len(reported)) == (10, 20)
    assert not set(tuning) & set(reported)
    twins = {i ^ 1 for i in (*tuning, *reported)}
    assert not set(store.episodes("train")) & ({*tuning, *reported} | twins)
    goals = benchmark.goal_task(store, reported, args)
    starts = make_manifest(goals, 20, seed=0)
    rollouts = list(simulate(Human(store, ("agent_pos", "block_pose")), goals, starts.episodes()))
    solved = [bool(r.success.any()) for r in rollouts if r.success is not None]
    assert np.mean(solved) >= 0.95
    assert max(r.num_steps for r, ok in zip(rollouts, solved, strict=True) if ok) <= args.offset + 2
    moves = benchmark.block_moves(starts)
    far = [np.abs(r.obs["block_pose"][-1] - r.obs["block_pose"][0])[:2].max() for r in rollouts]
    assert min(np.array(far)[moves]) > 5 * np.median(np.array(far)[~moves])
