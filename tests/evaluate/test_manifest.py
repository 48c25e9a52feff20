"""The frozen list of starts."""

import json
from pathlib import Path

import pytest
import tiny_envs

from worldjepa.data.simulate import COLLECT_STREAM, draw_seeds
from worldjepa.evaluate.manifest import Manifest, make_manifest
from worldjepa.evaluate.rollout import Task, task


@pytest.fixture(scope="module")
def walk() -> Task:
    return task("tiny/Walk-v0")


@pytest.fixture(scope="module")
def manifest(walk: Task) -> Manifest:
    return make_manifest(walk, 30, seed=1)


def test_it_holds_exactly_n_different_unsolved_starts(walk: Task, manifest: Manifest) -> None:
    assert len(manifest) == len(set(manifest.seeds)) == 30
    env = walk.make()
    assert not any(env.reset(seed=seed)[1]["is_success"] for seed in manifest.seeds)
    assert manifest.dropped
    assert all(env.reset(seed=seed)[1]["is_success"] for seed in manifest.dropped)


def test_it_depends_on_the_seed_and_on_nothing_else(walk: Task, manifest: Manifest) -> None:
    assert make_manifest(walk, 30, seed=1, num_envs=7) == manifest
    assert not set(make_manifest(walk, 30, seed=2).seeds) & set(manifest.seeds)


def test_its_first_starts_are_those_of_a_smaller_one(walk: Task, manifest: Manifest) -> None:
    assert make_manifest(walk, 4, seed=1).seeds == manifest.first(4).seeds


def test_collection_from_the_same_number_shares_no_start(manifest: Manifest) -> None:
    collected = draw_seeds(1, COLLECT_STREAM)
    assert not {next(collected) for _ in range(1000)} & set(manifest.seeds)


def test_it_survives_its_file(manifest: Manifest, tmp_path: Path) -> None:
    saved = manifest.save(tmp_path / "starts.json")
    loaded = Manifest.load(tmp_path / "starts.json")
    assert loaded == manifest
    assert loaded.sha256 == manifest.sha256
    assert loaded.path == saved.path == tmp_path / "starts.json"
    assert "gymnasium" in loaded.versions


def test_a_changed_file_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "starts.json"
    manifest.save(path)
    content = json.loads(path.read_text())
    content["seeds"][3] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="changed after it was saved"):
        Manifest.load(path)
    for text in ("[]", "{}", "not json"):
        path.write_text(text)
        with pytest.raises(ValueError, match="not a manifest"):
            Manifest.load(path)


def test_it_belongs_to_its_task(manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="horizon 25, the task has 50"):
        manifest.check_task(task("tiny/Walk-v0", horizon=50))
    with pytest.raises(ValueError, match=r"arguments \{\}, the task has \{'terminate': False\}"):
        manifest.check_task(task("tiny/Walk-v0", terminate=False))
    manifest.check_task(task("tiny_envs:tiny/Walk-v0"))


def test_a_predicate_that_always_holds_is_refused() -> None:
    loose = task("tiny/Walk-v0", success=lambda env, info: True)
    with pytest.raises(ValueError, match="solved before the first action"):
        make_manifest(loose, 3, seed=0)


def test_an_unknown_environment_is_named() -> None:
    with pytest.raises(ValueError, match=r"no Gymnasium environment 'tiny/Wolk-v0'.*package that registers it"):
        task("tiny/Wolk-v0")
    with pytest.raises(ValueError, match="has no time limit"):
        task("bare", make=lambda render_mode=None: tiny_envs.Walk())
    with pytest.raises(ValueError, match=r"path_key='y' is not observed.*\['place/x', 'time'\]"):
        task("tiny/Walk-v0", path_key="y")
