"""seq-JEPA: what it may see, where its views come from, and that it learns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from worldjepa.data import RobomimicWriter, open_store
from worldjepa.data.episodes import Episode
from worldjepa.learner import Learner
from worldjepa.recipes import fit_statistics, make_learner, recipe, seq_jepa
from worldjepa.types import DataSpec, ObsSpec

SIZE, OBJECTS, VIEWS = 16, 12, 8
SPEC = DataSpec(
    {
        "image": ObsSpec((SIZE, SIZE, 3), "uint8"),
        "rotation": ObsSpec((4,), "float32"),
        "hue": ObsSpec((1,), "float32"),
        "saliency": ObsSpec((SIZE, SIZE), "float32"),
    },
    action_dim=5,
)
TINY = seq_jepa.Config(
    difference_keys=("hue",),
    trunk="conv",
    trunk_width=16,
    action_embed=16,
    layers=1,
    num_heads=4,
    hidden=64,
    dropout=0.0,
    momentum=0.98,
    momentum_steps=400,
)


def picture(colour: np.ndarray, angle: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """A soft bar of a colour at an angle on a ground of a hue: uint8 [n, SIZE, SIZE, 3]."""
    axis = np.linspace(-1, 1, SIZE)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    across = np.sin(angle)[:, None, None] * x - np.cos(angle)[:, None, None] * y
    along = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    bar = np.exp(-20 * across**2) * (along > 0)  # it points somewhere
    ground = 0.5 * np.stack([hue, 1 - hue, 0.5 * np.ones_like(hue)], -1)[:, None, None]
    made = bar[..., None] * colour + (1 - bar[..., None]) * ground
    return np.round(255 * made).astype(np.uint8)


def objects(number: int, views: int, seed: int = 0) -> list[Episode]:
    """Objects are colours, seen turned about z and on grounds of different hues."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(number):
        angle, hue = rng.uniform(-np.pi, np.pi, views), rng.uniform(size=views)
        zeros = np.zeros(views)
        rotation = np.stack([zeros, zeros, np.sin(angle / 2), np.cos(angle / 2)], -1)
        rotation *= np.where(rotation[:, 3:] < 0, -1, 1)
        obs = {"image": picture(rng.uniform(size=3), angle, hue), "rotation": rotation.astype(np.float32)}
        obs |= {"hue": hue[:, None].astype(np.float32), "saliency": np.ones((views, SIZE, SIZE), np.float32)}
        made.append(Episode(obs, np.zeros((views - 1, 5), np.float32), name=f"demo_{i}"))
    return made


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "bars.hdf5"
    with RobomimicWriter(path, SPEC) as writer:
        for episode in objects(OBJECTS, VIEWS):
            writer.append(episode)
    return path


def learner_of(config: seq_jepa.Config, path: Path) -> Learner:
    torch.manual_seed(0)
    store = open_store(path)
    return make_learner("seq_jepa", config, store.spec, fit_statistics(config, store, range(len(store))))


def batches(config: seq_jepa.Config, path: Path, size: int = 6):
    store = open_store(path)
    window = recipe("seq_jepa").window(config, store.spec)
    return window.sampler(store, episodes=np.arange(len(store)), batch_size=size, seed=0)


def test_the_encoder_never_sees_the_target(path: Path) -> None:
    learner = learner_of(replace(TINY, trunk="resnet", trunk_width=4, stem="small"), path).train()
    batch = batches(TINY, path).at(range(6))
    other = batch.clone()
    other["obs", "image"][:, 3] = 255 - other["obs", "image"][:, 3]
    for training in (True, False):
        learner.train(training)
        before, after = (learner.model(learner.normalizer(x)) for x in (batch, other))
        assert torch.equal(before.context, after.context)
        assert torch.equal(before.predicted, after.predicted)
        assert not torch.allclose(before.target, after.target)
    assert not before.target.requires_grad


def test_rows_are_independent(path: Path) -> None:
    learner = learner_of(TINY, path).eval()
    batch = batches(TINY, path).at(range(6))
    before = learner.model(learner.normalizer(batch)).predicted
    for key in ("image", "rotation"):
        other = batch.clone()
        other["obs", key][0] = other["obs", key][0].flip(0)
        after = learner.model(learner.normalizer(other)).predicted
        assert not torch.allclose(after[0], before[0])
        assert torch.equal(after[1:], before[1:])


@pytest.mark.parametrize(("tokens", "head"), [(True, False), (False, True), (False, False)])
def test_half_conditionings_drop_the_actions(path: Path, tokens: bool, head: bool) -> None:
    config = replace(TINY, condition_tokens=tokens, condition_predictor=head)
    learner = learner_of(config, path).eval()
    batch = batches(config, path).at(range(6))
    predicted = learner.model(batch).predicted
    between, upcoming = batch.clone(), batch.clone()
    between["obs", "hue"][:, 0] += 0.3  # changes the first action alone
    upcoming["obs", "hue"][:, 3] += 0.3  # changes the last action alone
    assert torch.equal(learner.model(between).predicted, predicted) != tokens
    assert torch.equal(learner.model(upcoming).predicted, predicted) != head


def test_it_learns_without_collapse(path: Path) -> None:
    config = replace(
        TINY, trunk="resnet", trunk_width=8, depths=(1, 1, 1), stem="small", momentum=0.9, momentum_steps=150
    )
    learner, held_out = learner_of(config, path).eval(), batches(config, path).at(range(OBJECTS))
    with torch.no_grad():
        before = float(learner(held_out)["loss"])
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], 2e-3)
    sampler = batches(config, path, OBJECTS)
    learner.train()
    for step in range(150):
        learner(sampler.batch(step))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        learner.update_target(step)
    learner.eval()
    with torch.no_grad():
        after = float(learner(held_out)["loss"])
        z = learner.encode(held_out["obs"].select("image"))[:, :, 0]
    found = learner.diagnostics(held_out)
    assert after < 0.3 * before
    assert found["collapse/rank"] > 4
    assert found["collapse/target_rank"] > 4
    between = torch.nn.functional.cosine_similarity(z[:-1], z[1:], dim=-1).mean()
    assert between < 0.95, "objects are told apart"


def test_momentum_needs_to_know_the_steps(path: Path) -> None:
    learner = learner_of(replace(TINY, momentum_steps=None), path)
    with pytest.raises(ValueError, match="set momentum_steps"):
        learner.update_target(0)


def test_windows_by_source(path: Path) -> None:
    window = recipe("seq_jepa").window(TINY, SPEC)
    assert (window.distinct, window.history + window.horizon) == (True, 4)
    assert window.keys == ("image", "rotation", "hue")
    window = recipe("seq_jepa").window(replace(TINY, source="recorded", stride=2), SPEC)
    assert (window.distinct, window.stride, window.image_frames, window.keys) == (False, 2, 4, ("image",))
    window = recipe("seq_jepa").window(replace(TINY, source="augmentations"), SPEC)
    assert (window.distinct, window.history + window.horizon, window.keys) == (True, 1, ("image",))
    saccades = replace(TINY, source="saccades", view_size=8)
    assert recipe("seq_jepa").window(saccades, SPEC).keys == ("image", "saliency")
    assert recipe("seq_jepa").window(replace(saccades, saliency_key=None), SPEC).keys == ("image",)


@pytest.mark.parametrize("source", ["poses", "recorded", "augmentations", "saccades"])
def test_every_source_trains(path: Path, source: str) -> None:
    size = {"view_size": 8, "stem": "small", "saliency_key": "saliency"} if source == "saccades" else {}
    config = replace(TINY, source=source, trunk="resnet", trunk_width=4, observed=2, **size)
    learner = learner_of(config, path).train()
    losses = learner(batches(config, path).batch(0))
    losses["loss"].backward()
    assert 0 < losses["loss"] < 2
    assert all(p.grad is not None for p in learner.parameters() if p.requires_grad)


def test_as_released_what_was_mended_is_back() -> None:
    rotations, pictures = (seq_jepa.released(x()) for x in (seq_jepa.threedie, seq_jepa.cifar))
    assert (rotations.canonical, rotations.unused_action, rotations.target_statistics) == (False, "keep", "batch")
    assert (pictures.normalize_parameters, pictures.unused_action, pictures.target_statistics) == (
        True,
        "zero",
        "batch",
    )
    views = recipe("seq_jepa").build(replace(pictures, trunk_width=4, momentum_steps=1), SPEC)[0].views
    assert (views.observed, views.normalize, views.augmentation.size) == (3, True, None)
    assert seq_jepa.released(seq_jepa.saccades()).inhibition == "square"


@pytest.mark.parametrize("trunk", ["conv", "resnet", "vit"])
def test_every_trunk_gives_one_vector_a_view(path: Path, trunk: str) -> None:
    config = replace(TINY, trunk=trunk, trunk_width=12, vit_layers=1)
    learner = learner_of(config, path).eval()
    obs = batches(config, path).at(range(2))["obs"].select("image")
    z = learner.encode(obs)
    assert z.shape == (2, 4, 1, learner.model.predictor.dim)
    alone = learner.encode(obs.apply(lambda x: x[:, 1:2]))
    torch.testing.assert_close(alone, z[:, 1:2])


def test_what_the_data_cannot_serve(path: Path) -> None:
    def build(**changes) -> None:
        recipe("seq_jepa").build(replace(TINY, **changes), SPEC)

    with pytest.raises(ValueError, match=r"source must be one of \['poses', .*got 'rotations'"):
        build(source="rotations")
    with pytest.raises(
        ValueError, match=r"have no \['pose'\], only \[.*source=\"augmentations\" or \"saccades\" for pictures"
    ):
        build(rotation_key="pose")
    with pytest.raises(ValueError, match=r"'hue' must be a quaternion .* it has shape \(1,\)"):
        build(rotation_key="hue")
    with pytest.raises(ValueError, match="normalization 'zscore' would change the poses"):
        build(normalization="zscore")
    with pytest.raises(ValueError, match="no observation 'camera'"):
        build(image_key="camera")
    with pytest.raises(ValueError, match="'rotation' is of kind state, the configuration uses it as image"):
        build(image_key="rotation")
    with pytest.raises(ValueError, match=r'trunk must be "conv", "resnet" or "vit"'):
        build(trunk="mlp")
    with pytest.raises(ValueError, match="target_statistics must be"):
        build(target_statistics="own")
    with pytest.raises(ValueError, match='source="saccades" needs view_size'):
        build(source="saccades")
    with pytest.raises(ValueError, match="no saliency map 'gaze', they have"):
        build(source="saccades", view_size=8, saliency_key="gaze")
    with pytest.raises(ValueError, match="the data have none"):
        recipe("seq_jepa").build(replace(TINY, source="recorded"), replace(SPEC, action_dim=0))
    with pytest.raises(ValueError, match="12 of 12 objects have fewer than the 10 views"):
        batches(replace(TINY, observed=9), path)
    recorded = replace(TINY, source="recorded")
    with pytest.raises(
        ValueError,
        match=r"longest 7 actions.*; 9 views at stride 1 need 8 actions: lower observed \(--model.observed\), "
        "or record longer episodes",
    ):
        batches(replace(recorded, observed=8), path)
    with pytest.raises(
        ValueError, match=r"need 8 actions: lower observed \(--model.observed\) or stride \(--model.stride\), or record"
    ):
        batches(replace(recorded, observed=2, stride=4), path)
    assert len(batches(replace(recorded, observed=7), path)) == OBJECTS


def test_views_that_are_no_rotations(path: Path) -> None:
    batch: TensorDict = batches(TINY, path).at(range(6))
    batch["obs", "rotation"][3, 2] = 0.0
    with pytest.raises(ValueError, match="'rotation' must hold unit quaternions"):
        learner_of(TINY, path)(batch)
