"""Which file of starts an evaluation reads: its own, and never another task's."""

from dataclasses import replace
from pathlib import Path

import point_world  # noqa: F401  # registers tiny/Point-v0
import pytest

from worldjepa.commands.evaluate import Options
from worldjepa.commands.starts import find_manifest
from worldjepa.commands.tasks import find_task, parse_kwargs
from worldjepa.evaluate.manifest import Manifest, make_manifest

OPTIONS = Options(("run",), env="tiny/Point-v0", episodes=2)
PLAIN = "tiny-Point-v0-goals-2-seed0.json"


def find(folder: Path, **changes) -> Manifest:
    """What `evaluate` would use with these options."""
    options = replace(OPTIONS, **changes)
    kwargs = {"goal_obs": True} | parse_kwargs(options.kwargs)
    task = find_task(options.env, {}, kwargs, options.horizon)
    found = find_manifest(task, folder, options)
    found.check_task(task)
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "starts").iterdir())


@pytest.mark.parametrize("order", [0, 1])
def test_other_dynamics_have_starts_of_their_own_in_any_order(tmp_path: Path, order: int) -> None:
    asked = [{}, {"kwargs": ("drift=0.1",)}, {"horizon": 7}]
    found = [find(tmp_path, **x) for x in (asked, asked[::-1])[order]]
    again = [find(tmp_path, **x) for x in (asked, asked[::-1])[order]]
    assert len({x.sha256 for x in found}) == 3
    assert [x.sha256 for x in found] == [x.sha256 for x in again]
    assert len(names(tmp_path)) == 3
    assert find(tmp_path).path == tmp_path / "starts" / PLAIN


def test_files_of_before_names_had_a_hash_are_used(tmp_path: Path) -> None:
    drifting = find_task("tiny/Point-v0", {}, {"goal_obs": True, "drift": 0.1})
    old = make_manifest(drifting, 2, 0).save(tmp_path / "starts" / PLAIN)
    assert find(tmp_path, kwargs=("drift=0.1",)).sha256 == old.sha256
    assert names(tmp_path) == [PLAIN]
    plain = find(tmp_path)
    assert plain.sha256 != old.sha256
    assert find(tmp_path).sha256 == plain.sha256
    assert len(names(tmp_path)) == 2


def test_a_damaged_file_is_not_replaced(tmp_path: Path) -> None:
    path = find(tmp_path).path
    assert path is not None
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ValueError, match="was changed after it was saved"):
        find(tmp_path)


def test_a_camera_changes_no_starts(tmp_path: Path) -> None:
    from worldjepa.commands.starts import changes_episodes

    assert not changes_episodes(replace(OPTIONS, kwargs=("obs_type=state+pixels", "image_size=32")))
    assert changes_episodes(replace(OPTIONS, kwargs=("image_size=32", "random_layout=false")))
