"""Aggregates of frozen latents: what they may depend on, and that what is taken away is really gone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from view_world import POSES, view_learner, write_views

from worldjepa.evaluate.aggregates import Blinded, aggregate, embedded_action, predicted, told_actions
from worldjepa.evaluate.equivariance import Split
from worldjepa.evaluate.frozen_probe import ProbeSettings
from worldjepa.evaluate.path_integration import CONDITIONS, path_features, path_integration
from worldjepa.evaluate.view_features import Sequences, ViewTable, draw_sequences, encode_views, online_features
from worldjepa.evaluate.view_sets import ConsecutiveViews, RecordedViews
from worldjepa.predictors import AggregatePredictor
from worldjepa.views.rotation import canonical, compose

NO_VIEWS, NO_ACTIONS = Blinded(views=True), Blinded(actions=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paths")


@pytest.fixture(scope="module")
def split(folder: Path) -> Split:
    store = write_views(folder / "objects.hdf5", objects=40)
    models = {"encoder": online_features(view_learner(), "image")}
    tables = [
        encode_views(models, RecordedViews(store, rows, image_key="image", poses=POSES))
        for rows in (range(30), range(30, 40))
    ]
    return Split(tables[0], tables[1], ProbeSettings(epochs=60, batch_size=64, lr=1e-2, hidden=64), draws=6)


@pytest.fixture(scope="module")
def sequences(split: Split) -> Sequences:
    return draw_sequences(split.test, 4, draws=2)


def changed(sequences: Sequences, **fields: torch.Tensor) -> Sequences:
    return replace(sequences, table=replace(sequences.table, **fields))


def with_noise(sequences: Sequences) -> Sequences:
    """The same views with other latents."""
    noise = torch.randn_like(sequences.table.features["encoder"])
    return changed(sequences, features={"encoder": noise})  # pyright: ignore[reportArgumentType]


def turned(sequences: Sequences) -> Sequences:
    """The same latents with other poses."""
    return changed(sequences, pose=sequences.table.pose.roll(1, 1))


def test_the_aggregate_is_the_predictors(sequences: Sequences) -> None:
    """Against the model called on its own, a sequence at a time."""
    learner = view_learner()
    predictor = learner.model.predictor
    assert isinstance(predictor, AggregatePredictor)
    found = aggregate(learner, sequences, 3)
    table = sequences.table
    for i in (0, 7, 13):
        row, view = int(sequences.row[i]), sequences.view[i]
        z = table.features["encoder"][row, view[:3]][None, :, None]
        pose = table.pose[row, view]
        action = table.transformations.relative(pose[None])
        torch.testing.assert_close(found[i : i + 1], predictor.aggregate(z, action).detach())
        torch.testing.assert_close(
            embedded_action(learner, sequences, 2)[i : i + 1], predictor.embed(action[:, 2]).detach()
        )


def test_the_aggregate_knows_nothing_of_what_comes_after(sequences: Sequences) -> None:
    """Neither the last view nor the action to it: of four views three are seen."""
    learner = view_learner()
    short = replace(sequences, view=sequences.view[:, :3])
    assert torch.equal(aggregate(learner, sequences, 3), aggregate(learner, short, 3))


def test_zeroed_views_are_really_gone(sequences: Sequences) -> None:
    learner = view_learner()
    features = [path_features(learner, s, 3, NO_VIEWS) for s in (sequences, with_noise(sequences), turned(sequences))]
    assert torch.equal(features[0], features[1])
    assert not torch.equal(features[0], features[2])


def test_zeroed_actions_are_really_gone(sequences: Sequences) -> None:
    learner = view_learner()
    features = [path_features(learner, s, 3, NO_ACTIONS) for s in (sequences, turned(sequences), with_noise(sequences))]
    assert torch.equal(features[0], features[1])
    assert not torch.equal(features[0], features[2])
    assert (features[0][:, -8:] == 0).all()
    assert (path_features(learner, sequences, 3)[:, -8:] != 0).any()


def test_with_nothing_left_nothing_is_said(split: Split) -> None:
    found = path_integration(view_learner(), split, 2, Blinded(actions=True, views=True))
    assert max(x.estimate for x in found.values()) <= 0.01


def test_over_one_view_the_action_is_the_answer(split: Split) -> None:
    for name in ("all", "no views"):
        found = path_integration(view_learner(), split, 1, CONDITIONS[name])
        assert min(x.estimate for x in found.values()) > 0.95


def test_the_way_is_from_the_first_view_to_the_last(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hues add up along it, and the rotations on it compose."""
    ways: list[torch.Tensor] = []

    def capture(train, target, test, truth, groups, settings):
        ways.append(truth)
        raise InterruptedError

    monkeypatch.setattr("worldjepa.evaluate.path_integration.regress", capture)
    with pytest.raises(InterruptedError):
        path_integration(view_learner(), split, 3)
    steps = split.test.transformations.relative(split.sequences(4)[1].pose)
    torch.testing.assert_close(ways[0][:, 4:], steps[..., 4:].sum(1))
    turned = compose(compose(steps[:, 0, :4], steps[:, 1, :4]), steps[:, 2, :4])
    torch.testing.assert_close(ways[0][:, :4], canonical(turned))


def test_a_model_told_nothing_has_no_path(split: Split, sequences: Sequences) -> None:
    learner = view_learner(told=False)
    assert not told_actions(learner)
    assert aggregate(learner, sequences, 3).shape == (20, 12)
    with pytest.raises(ValueError, match="no actions"):
        path_integration(learner, split, 2)
    with pytest.raises(ValueError, match="told none"):
        predicted(learner, sequences, 3)


def test_a_model_without_an_aggregate_says_so(sequences: Sequences) -> None:
    learner = view_learner()
    learner.model.predictor = torch.nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="mean of the views"):
        aggregate(learner, sequences, 3)


def test_recorded_actions_are_told_in_the_models_units(folder: Path) -> None:
    """The learner's normaliser shifts by 0.5 and divides by 2."""
    learner = view_learner(recorded=True)
    sets = ConsecutiveViews(write_views(folder / "robot.hdf5", objects=3), range(3), image_key="image", num_views=4)
    table: ViewTable = encode_views({"encoder": online_features(learner, "image")}, sets)
    sequences = draw_sequences(table, 3)
    predictor = learner.model.predictor
    assert isinstance(predictor, AggregatePredictor)
    raw = sequences.pose.diff(dim=1)[:, 1]
    torch.testing.assert_close(embedded_action(learner, sequences, 1), predictor.embed((raw - 0.5) / 2).detach())
