"""The probe and imagination on a system whose future is known in closed form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from worldjepa.data import Episode, RobomimicWriter, Store, WindowSampler, open_store
from worldjepa.evaluate.imagine import imagination_report, imagine, state_names
from worldjepa.evaluate.probe import ProbeWindows, probe_report, probe_windows, raw_features, state_probe
from worldjepa.learner import Learner
from worldjepa.recipes import act_jepa, fit_statistics, make_learner
from worldjepa.types import DataSpec, ObsSpec

HORIZON = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A point that moves by its action, p' = p + a / 10, around a circle of changing size."""
    path = tmp_path_factory.mktemp("probe") / "points.hdf5"
    rng = np.random.default_rng(0)
    spec = DataSpec({"p": ObsSpec((2,), "float32")}, 2)
    with RobomimicWriter(path, spec) as writer:
        for i in range(12):
            angle = rng.uniform(0, 6) + rng.choice([-1, 1]) * np.arange(41) * rng.uniform(0.1, 0.3)
            size = 1 + 0.3 * np.sin(rng.uniform(0, 6) + np.arange(41) / 5)
            p = (size * np.stack([np.cos(angle), np.sin(angle)])).T.astype(np.float32)
            action = 10 * np.diff(p, axis=0)
            writer.append(Episode({"p": p}, action, None, None, None, None, None, f"demo_{i}"))
    return open_store(path)


def windows(store: Store, episodes: range, history: int = 2) -> ProbeWindows:
    return probe_windows(
        store, episodes, state_keys=("p",), keys=("p",), history=history, horizon=HORIZON, reference=range(9)
    )


def learner(store: Store, **changes: object) -> Learner:
    config = replace(act_jepa.small(), dim=32, ffn_dim=64, state_hidden=32, predictor_dim=32, chunk=4, horizon=HORIZON)
    config = replace(config, **changes)
    return make_learner("act_jepa", config, store.spec, fit_statistics(config, store, range(9))).eval()


def test_windows_hold_the_true_future(store: Store) -> None:
    found = windows(store, range(9))
    raw = found.state * found.std + found.mean
    np.testing.assert_allclose(raw[:, 0], found.obs["p"][:, -1].numpy(), atol=1e-5)
    moved = found.action[:, 1:].numpy() / 10
    np.testing.assert_allclose(np.diff(raw, axis=1), moved, atol=1e-5)


def test_copy_is_the_error_of_standing_still(store: Store) -> None:
    train, test = windows(store, range(9)), windows(store, range(9, 12))
    copy = state_probe({}, train, test)[0]
    error = test.state[:, 1:] - test.state[:, :1]
    assert copy.model == "copy"
    assert copy.rmse == pytest.approx(np.sqrt(np.mean(error**2)))
    assert copy.ate == pytest.approx(np.linalg.norm(error, axis=-1).mean())
    assert copy.rmse_low <= copy.rmse <= copy.rmse_high
    np.testing.assert_allclose(copy.per_step, np.sqrt(np.mean(error**2, axis=(0, 2))))


def test_an_oracle_beats_the_raw_state_which_beats_copying(store: Store) -> None:
    train, test = windows(store, range(9)), windows(store, range(9, 12))
    truth = {id(w.obs): w.state[:, 1:].reshape(len(w.state), -1) for w in (train, test)}
    lookup = {w.obs["p"][i].numpy().tobytes(): truth[id(w.obs)][i] for w in (train, test) for i in range(len(w.state))}

    def oracle(obs):
        return torch.from_numpy(np.stack([lookup[row.numpy().tobytes()] for row in obs["p"]]))

    rows = {row.model: row for row in state_probe({"oracle": oracle, "raw": raw_features}, train, test)}
    assert rows["oracle"].rmse < 0.05 * rows["copy"].rmse
    # two frames show the velocity, which a linear map extrapolates
    assert rows["oracle"].rmse < rows["raw"].rmse < 0.8 * rows["copy"].rmse


def test_the_perceptron_probe_reads_a_nonlinear_feature(store: Store) -> None:
    train, test = windows(store, range(9)), windows(store, range(9, 12))

    def folded(obs):  # a line through the absolute value cannot tell the sign; a perceptron has it from the product
        p = obs["p"].flatten(1)
        return torch.cat([p.abs(), torch.tanh(10 * p)], dim=1)

    linear = state_probe({"folded": folded}, train, test, kind="linear")[0]
    mlp = state_probe({"folded": folded}, train, test, kind="mlp")[0]
    assert mlp.rmse < linear.rmse


def test_probing_on_the_training_episodes_is_refused(store: Store) -> None:
    train = windows(store, range(9))
    with pytest.raises(ValueError, match="different episodes"):
        state_probe({"raw": raw_features}, train, windows(store, range(8, 12)))


def test_a_horizon_longer_than_the_episodes_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="horizon"):
        probe_windows(store, range(9), state_keys=("p",), keys=("p",), history=1, horizon=100)


def test_the_report_names_every_model(store: Store) -> None:
    train, test = windows(store, range(9)), windows(store, range(9, 12))
    report = probe_report(state_probe({"raw": raw_features}, train, test), HORIZON)
    assert [row["model"] for row in report["rows"]] == ["raw", "copy"]
    assert all(len(errors) == HORIZON for errors in report["per_step"].values())


@pytest.mark.parametrize("stride", [1, 2])
def test_a_steered_rollout_follows_the_actions_and_beats_copying(store: Store, stride: int) -> None:
    torch.manual_seed(0)
    model = learner(store, action_conditioned=True, stride=stride, momentum=0.99, momentum_end=0.99).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 2e-3)
    sampler = WindowSampler(store, episodes=range(9), batch_size=64, history=2, horizon=HORIZON)
    for step in range(200):
        model(sampler.batch(step))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        model.update_target(step)
    train, test = windows(store, range(9)), windows(store, range(9, 12))
    found = imagine(model.eval(), train, test)
    errors = found.rmse()
    assert found.steered
    assert found.real.shape == found.imagined.shape == (len(test.state), HORIZON // stride + 1, 2)
    assert errors["decoder_rmse"] < errors["rmse"] < 0.4 * errors["copy_rmse"]
    flipped = replace(test, action=-test.action)
    assert imagine(model, train, flipped).rmse()["rmse"] > 1.5 * errors["rmse"]


def test_the_imagination_report_is_in_raw_units(store: Store) -> None:
    train, test = windows(store, range(9)), windows(store, range(9, 12))
    found = imagine(learner(store), train, test)
    assert not found.steered
    report = imagination_report(found, test, state_names(test, ("p",)), num_starts=3)
    assert report["names"] == ["p[0]", "p[1]"]
    start = report["starts"][1]
    at = np.flatnonzero((test.episode == start["episode"]) & (test.step == start["index"]))[0]
    np.testing.assert_allclose(start["real"][0], test.obs["p"][at, -1].numpy(), atol=1e-5)
    assert start["copy"] == [start["real"][0]] * (HORIZON + 1)


def test_a_model_without_a_predictor_imagines_nothing(store: Store) -> None:
    train, test = windows(store, range(9)), windows(store, range(9, 12))
    with pytest.raises(ValueError, match="jepa_weight"):
        imagine(learner(store, jepa_weight=0.0), train, test)


def test_more_steps_than_the_model_predicts_are_refused(store: Store, tmp_path: Path) -> None:
    far = [
        probe_windows(store, episodes, state_keys=("p",), keys=("p",), history=2, horizon=8)
        for episodes in (range(9), range(9, 12))
    ]
    with pytest.raises(ValueError, match="predicts 4 steps"):
        imagine(learner(store), *far)
