"""What frozen features of views say of the object and of the view: accuracy and R^2 of probes, with floors beside.

The protocol of seq-JEPA (arXiv 2505.03176, sections 3.2, 3.3 and appendix B). Probes are fitted on the views of
training objects and scored once on those of held-out ones; intervals are over objects.
Letters: n samples, f features, k numbers of a transformation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldjepa.evaluate.frozen_probe import Kind, ProbeSettings, fit_probe
from worldjepa.evaluate.object_scores import accuracy, r2
from worldjepa.evaluate.statistics import Interval
from worldjepa.evaluate.transformations import Group, Transformations
from worldjepa.evaluate.view_features import Sequences, ViewTable, draw_sequences


@dataclass(frozen=True)
class Samples:
    """Features, and the object of each."""

    x: Float[Tensor, "n f"]
    group: Int[Tensor, "n"]


@dataclass(frozen=True)
class Split:
    """Views of training objects and of held-out ones, and how probes are fitted."""

    train: ViewTable
    test: ViewTable
    settings: ProbeSettings = field(default_factory=ProbeSettings)
    draws: int = 8
    """Sequences drawn of each object."""

    def __post_init__(self):
        shared = sorted(set(self.train.group.tolist()) & set(self.test.group.tolist()))
        if shared:
            raise ValueError(f"objects {shared[:5]} are in training and in test: split by episode")

    def sequences(self, views: int) -> tuple[Sequences, Sequences]:
        """Sequences of so many views, of training and of test objects."""
        seed = self.settings.seed
        return (
            draw_sequences(self.train, views, draws=self.draws, seed=seed),
            draw_sequences(self.test, views, draws=self.draws, seed=seed + 1),
        )


def classified(split: Split) -> Split:
    """The same with objects of known class only.

    Raises:
        ValueError: no classes, fewer training objects than classes, test objects of classes never trained on.
    """
    tables = []
    for table in (split.train, split.test):
        if table.label is None:
            raise ValueError('classes need an observation "label", and the data have none')
        tables.append(table.rows(table.label >= 0))
    train, test = ({int(x) for x in table.label.tolist()} for table in tables)
    if not train or not test:
        raise ValueError("no object has a known class (label >= 0): there is nothing to classify")
    if len(tables[0].label) < len(train | test):
        raise ValueError(
            f"{len(tables[0].label)} training objects are fewer than the {len(train | test)} classes: raise "
            "--max-objects, or record more"
        )
    if test - train:
        raise ValueError(
            f"test objects are of classes {sorted(test - train)[:8]}, of which there is no training object: raise "
            "--max-objects, or record more"
        )
    return Split(tables[0], tables[1], split.settings, split.draws)


def classify(
    train: Samples, label: Int[Tensor, "n"], test: Samples, truth: Int[Tensor, "m"], settings: ProbeSettings
) -> Interval:
    """Top-1 accuracy of a linear probe on test samples."""
    known = torch.unique(label)
    probe = fit_probe(
        train.x, torch.searchsorted(known, label), train.group, kind="linear", settings=settings,
        num_classes=len(known),
    )  # fmt: skip
    said = known[probe.classes(test.x)]
    return accuracy(said.numpy(), truth.numpy(), test.group.numpy(), settings.seed)


def regress(
    train: Samples,
    target: Float[Tensor, "n k"],
    test: Samples,
    truth: Float[Tensor, "m k"],
    groups: Sequence[Group],
    settings: ProbeSettings,
    kind: Kind | None = None,
) -> dict[str, Interval]:
    """R^2 of a probe on test samples, for each group of outputs that vary in all their numbers.

    Args:
        train, target, test, truth: features and what is read from them.
        groups: which numbers are read together, each by a probe of its kind.
        settings: of the probes.
        kind: of all probes; None: the groups'.
    """
    found = {}
    for group in varying(groups, target, truth):
        y, wanted = target[:, group.columns], truth[:, group.columns]
        probe = fit_probe(train.x, y, train.group, kind=kind or group.kind, settings=settings)
        said = probe.values(test.x).double().numpy()
        found[group.name] = r2(said, wanted.double().numpy(), test.group.numpy(), settings.seed)
    return found


def varying(groups: Sequence[Group], *values: Tensor) -> list[Group]:
    """The groups all of whose numbers vary: R^2 of a constant is undefined."""
    return [g for g in groups if all(bool((v[:, g.columns].amax(0) > v[:, g.columns].amin(0)).all()) for v in values)]


def class_accuracy(split: Split, name: str, length: int) -> Interval:
    """Accuracy from the mean of an encoder's features over ``length`` views: with one, of single views.

    Several views at test time are worth much by themselves; this is what an aggregate must beat.
    """
    train, test = split.sequences(length)
    mean = [Samples(s.features(name).mean(1), s.group) for s in (train, test)]
    return classify(mean[0], train.label, mean[1], test.label, split.settings)


def relative_r2(split: Split, name: str) -> dict[str, Interval]:
    """R^2 of the transformation from one view to another, read from an encoder's features of both.

    Raises:
        ValueError: views that differ in nothing that is recorded.
    """
    train, test = split.sequences(2)
    transformations = need_actions(split)
    pairs = [Samples(s.features(name).flatten(1), s.group) for s in (train, test)]
    moved = [transformations.relative(s.pose)[:, 0] for s in (train, test)]
    found = regress(pairs[0], moved[0], pairs[1], moved[1], transformations.groups, split.settings)
    if not found:
        raise ValueError(_NO_ACTIONS)
    return found


def individual_r2(split: Split, name: str) -> dict[str, Interval]:
    """R^2 of how a single view was taken, read from an encoder's features of it."""
    train, test = split.sequences(1)
    transformations = need_actions(split)
    single = [Samples(s.features(name)[:, 0], s.group) for s in (train, test)]
    pose = [transformations.single(s.pose[:, 0]) for s in (train, test)]
    return regress(single[0], pose[0], single[1], pose[1], transformations.groups, split.settings)


_NO_ACTIONS = (
    "the views of this run are joined by no transformations that are recorded and vary (its data have no actions and "
    "no poses), so there is no relative R^2 to measure"
)


def need_actions(split: Split) -> Transformations:
    """The transformations of the views.

    Raises:
        ValueError: there are none.
    """
    transformations = split.train.transformations
    if not transformations.groups or split.train.pose.shape[-1] == 0:
        raise ValueError(_NO_ACTIONS)
    return transformations
