"""The parts of the world-model suite: what is timed, probed and measured is what is said."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds import world_model, write_world

from worldjepa.data import Store
from worldjepa.data.task import task
from worldjepa.evaluate.probe import ProbeWindows, present_probe, probe_windows
from worldjepa.evaluate.world_model import (
    TimedPlanner,
    collapse_report,
    factors_of,
    need_goals,
    need_world_model,
    planning_horizon,
    probes_report,
)
from worldjepa.plan import CEM


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_world(tmp_path_factory.mktemp("suite") / "points.hdf5")


def windows(store: Store, episodes: range) -> ProbeWindows:
    return probe_windows(
        store, episodes, state_keys=("p",), keys=("p",), history=1, horizon=2, stride=2, reference=range(9)
    )


def test_timing_changes_no_plan_and_counts_each_row() -> None:
    def cost(action: torch.Tensor) -> torch.Tensor:
        time.sleep(0.002)
        return action.square().sum((2, 3))

    planner = CEM(num_samples=8, iterations=2, num_elites=2, std=0.5)
    timed = TimedPlanner(planner)
    plans = [
        x.plan(cost, torch.ones(3, 2, 1), [torch.Generator().manual_seed(i) for i in range(3)])
        for x in (planner, timed)
    ]
    assert torch.equal(plans[0].action, plans[1].action)
    assert timed.std == 0.5
    report = timed.report()
    assert report is not None
    assert report["n"] == 3
    assert 3 * report["mean"] >= 3 * 2  # ms: two rounds and the mean, in three shares
    assert TimedPlanner(planner).report() is None


def test_the_present_state_is_read_from_itself_and_not_from_noise(store: Store) -> None:
    train, test = windows(store, range(9)), windows(store, range(9, 12))
    noise = torch.Generator().manual_seed(0)
    models = {
        "itself": lambda obs: obs["p"].flatten(1),
        "noise": lambda obs: torch.randn(len(obs), 3, generator=noise),
    }
    rows = {row.model: row for row in present_probe(models, train, test)}
    assert set(rows) == {"itself", "noise", "mean"}
    assert rows["itself"].rmse < 1e-3
    expected = np.sqrt(np.square(test.state[:, 0] - train.state[:, 0].mean(0)).mean())
    assert rows["mean"].rmse == pytest.approx(expected)
    assert rows["noise"].rmse == pytest.approx(expected, rel=0.1)
    assert len(rows["itself"].per_step) == 1
    report = probes_report({"itself": models["itself"]}, train, test)
    assert report["linear"]["itself"]["rmse"] == pytest.approx(rows["itself"].rmse)
    assert report["mlp"]["itself"]["rmse"] < 0.3
    with pytest.raises(ValueError, match="different episodes"):
        present_probe(models, train, train)


def test_a_collapsed_encoder_has_no_rank(store: Store) -> None:
    learner, some = world_model(store), windows(store, range(9))
    healthy = collapse_report(learner, some)
    assert 1 < healthy["rank"] <= healthy["dim"] == 16
    assert healthy["num_frames"] == len(some.obs)
    with torch.no_grad():
        for parameter in learner.model.encoder.parameters():  # pyright: ignore[reportAttributeAccessIssue]
            parameter.zero_()
    assert 0 < healthy["std_min"] < healthy["std"]
    collapsed = collapse_report(learner, some)
    assert (collapsed["rank"], collapsed["std"], collapsed["std_min"]) == (0, 0, 0)


def test_plans_are_as_long_as_the_model_can_imagine(store: Store) -> None:
    assert planning_horizon(world_model(store), None) == 4
    assert planning_horizon(world_model(store), 7) == 7
    assert planning_horizon(world_model(store, predictor="recurrent"), None) == 5
    assert planning_horizon(world_model(store, history=2, horizon=3), None) == 3


def test_environments_without_goals_or_factors_are_refused(store: Store, tmp_path: Path) -> None:
    rooms = task("worldjepa/TwoRooms-v0", goal_obs=True)
    need_goals(rooms, ["agent"])
    with pytest.raises(ValueError, match="goal_image"):
        need_goals(rooms, ["agent", "image"])
    assert "agent_color" in factors_of(rooms)
    with pytest.raises(ValueError, match="no factors"):
        factors_of(task("Pendulum-v1", success=lambda env, info: False))
    learner = world_model(store)
    need_world_model(learner)
    learner.model.predictor = None
    with pytest.raises(ValueError, match="no predictor"):
        need_world_model(learner)
