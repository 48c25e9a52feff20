"""Probes of features whose content is known: all of it, none of it, and never fitted on what is tested."""

from dataclasses import replace

import pytest
import torch

from worldjepa.evaluate import equivariance
from worldjepa.evaluate.equivariance import (
    Samples,
    Split,
    class_accuracy,
    classified,
    individual_r2,
    regress,
    relative_r2,
    varying,
)
from worldjepa.evaluate.frozen_probe import ProbeSettings
from worldjepa.evaluate.transformations import Group, Transformations
from worldjepa.evaluate.view_features import ViewTable

FAST = ProbeSettings(epochs=40, batch_size=64, lr=2e-2, hidden=64)
GROUPS = (Group("turn", slice(0, 2), "mlp"), Group("hue", slice(2, 3), "linear"))


def table(objects: range, views: int = 6, seed: int = 0) -> ViewTable:
    """Poses of three numbers. "pose" says them, "class" says the class, "noise" neither, "part" the class at times."""
    generator = torch.Generator().manual_seed(seed)
    count = len(objects)
    pose = torch.rand(count, views, 3, generator=generator)
    label = torch.tensor([number % 3 for number in objects])
    hot = torch.nn.functional.one_hot(label, 3).float()[:, None].expand(-1, views, -1)
    shown = (torch.rand(count, views, 1, generator=generator) < 0.4).float()
    features = {
        "pose": pose,
        "class": hot.contiguous(),
        "noise": torch.randn(count, views, 3, generator=generator),
        "part": hot * shown,
    }
    return ViewTable(features, pose, label, torch.tensor(list(objects)), Transformations(GROUPS), consecutive=False)


@pytest.fixture(scope="module")
def split() -> Split:
    return Split(table(range(60)), table(range(60, 90), seed=1), FAST, draws=4)


def test_perfect_features_are_read_perfectly(split: Split) -> None:
    relative, single = relative_r2(split, "pose"), individual_r2(split, "pose")
    assert relative["hue"].estimate > 0.999
    assert relative["turn"].estimate > 0.95
    assert single["hue"].estimate > 0.999
    assert class_accuracy(split, "class", 1).estimate == 1


def test_features_of_something_else_say_nothing(split: Split) -> None:
    for name in ("noise", "class"):
        assert max(x.estimate for x in relative_r2(split, name).values()) < 0.05
    assert class_accuracy(split, "noise", 1).estimate < 0.55
    assert class_accuracy(split, "pose", 1).estimate < 0.55


def test_shuffled_features_say_nothing(split: Split) -> None:
    """What is right of other objects is wrong of these."""
    shuffled = [replace(t, features={"pose": t.features["pose"].roll(1, 0)}) for t in (split.train, split.test)]
    other = Split(shuffled[0], shuffled[1], FAST, draws=4)
    assert max(x.estimate for x in relative_r2(other, "pose").values()) < 0.05


def test_the_mean_of_more_views_is_worth_more(split: Split) -> None:
    """A view shows its class with probability 0.4: of one view 0.6 know nothing, of five views 0.6^5 = 0.08."""
    found = {m: class_accuracy(split, "part", m).estimate for m in (1, 5)}
    assert found[1] < 0.75
    assert found[5] > 0.85


def test_the_mean_is_that_of_the_sequences_views(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Samples] = []

    def capture(train, label, test, truth, settings):
        seen.extend([train, test])
        raise InterruptedError

    monkeypatch.setattr(equivariance, "classify", capture)
    with pytest.raises(InterruptedError):
        class_accuracy(split, "noise", 4)
    for samples, sequences in zip(seen, split.sequences(4)):
        noise = sequences.table.features["noise"]
        wanted = sum(noise[sequences.row, sequences.view[:, k]] for k in range(4)) / 4
        torch.testing.assert_close(samples.x, wanted)


def test_no_test_object_is_ever_fitted(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    original = equivariance.fit_probe

    def spy(x, y, group, **options):
        fitted.extend(group.tolist())
        return original(x, y, group, **options)

    monkeypatch.setattr(equivariance, "fit_probe", spy)
    short = Split(split.train, split.test, ProbeSettings(epochs=1, hidden=4), draws=2)
    relative_r2(short, "pose")
    individual_r2(short, "pose")
    class_accuracy(short, "class", 2)
    assert set(fitted) == set(range(60))


def test_scores_do_not_change_training(split: Split) -> None:
    """Other test objects, same probes: nothing of the test set may reach the fit."""
    short = ProbeSettings(epochs=2, hidden=4)
    half = split.test.rows(torch.arange(15))
    whole, part = (Split(split.train, t, short, draws=2) for t in (split.test, half))
    assert relative_r2(whole, "pose") != relative_r2(part, "pose")
    changed = replace(half, features={k: v + 0.0 for k, v in half.features.items()})
    assert relative_r2(Split(split.train, changed, short, draws=2), "pose") == relative_r2(part, "pose")


def test_a_seed_fixes_every_score(split: Split) -> None:
    short = [Split(split.train, split.test, ProbeSettings(epochs=2, hidden=8, seed=s), draws=2) for s in (0, 0, 1)]
    first, again, other = (relative_r2(s, "pose") for s in short)
    assert first == again
    assert first != other


def test_constant_numbers_are_left_out() -> None:
    y = torch.rand(20, 3)
    y[:, 2] = 0.5
    assert [g.name for g in varying(GROUPS, y)] == ["turn"]
    samples = Samples(torch.rand(20, 2), torch.arange(20) // 2)
    assert set(regress(samples, y, samples, y, GROUPS, ProbeSettings(epochs=1, hidden=2))) == {"turn"}


def test_views_without_transformations_are_refused(split: Split) -> None:
    still = [replace(t, pose=torch.zeros_like(t.pose)) for t in (split.train, split.test)]
    with pytest.raises(ValueError, match="no relative R"):
        relative_r2(Split(still[0], still[1], FAST), "pose")
    none = [replace(t, pose=t.pose[..., :0], transformations=Transformations(())) for t in (split.train, split.test)]
    with pytest.raises(ValueError, match="no relative R"):
        relative_r2(Split(none[0], none[1], FAST), "pose")


def test_shared_objects_are_refused(split: Split) -> None:
    with pytest.raises(ValueError, match=r"\[7\] are in training and in test"):
        Split(split.train, table(range(7, 8)))


def test_classes_that_cannot_be_learned_are_refused(split: Split) -> None:
    with pytest.raises(ValueError, match="2 training objects are fewer than the 3 classes"):
        classified(Split(table(range(2)), split.test))
    pair = table(range(6)).rows(torch.tensor([0, 1, 3, 4]))
    with pytest.raises(ValueError, match=r"classes \[2\]"):
        classified(Split(pair, split.test))
    with pytest.raises(ValueError, match="label"):
        classified(Split(replace(split.train, label=None), split.test))


def test_objects_of_unknown_class_are_left_out(split: Split) -> None:
    assert split.train.label is not None
    label = split.train.label.clone()
    label[:10] = -1
    known = classified(Split(replace(split.train, label=label), split.test, FAST, draws=2))
    assert known.train.group.tolist() == list(range(10, 60))
    assert known.test.group.tolist() == split.test.group.tolist()
