"""Turntable with meshes of the user."""

import gymnasium as gym
import numpy as np
import pytest

import worldjepa_envs  # noqa: F401  (registers)
from worldjepa_envs.turntable import TurntableEnv
from worldjepa_envs.turntable_meshes import find_meshes
from worldjepa_envs.turntable_stage import Stage

CORNERS = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1]], float)
FACES = [(1, 3, 2), (1, 2, 4), (1, 4, 3), (2, 3, 4)]


def write(path, scale, shift):
    lines = [f"v {x} {y} {z}" for x, y, z in CORNERS * scale + shift]
    path.write_text("\n".join(lines + [f"f {a} {b} {c}" for a, b, c in FACES]) + "\n")


@pytest.fixture
def folder(tmp_path):
    for name, scales in (("cone", [(1, 1, 1), (2, 2, 2)]), ("bar", [(5, 1, 1)])):
        (tmp_path / name).mkdir()
        for k, scale in enumerate(scales):
            write(tmp_path / name / f"{k}.obj", np.array(scale), k * 10.0)
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.draws
def test_meshes_keep_their_axes_and_are_brought_to_one_size(folder):
    stage = Stage(find_meshes(folder))
    for mesh, scale in enumerate([(5, 1, 1), (1, 1, 1), (2, 2, 2)]):
        start, count = stage.model.mesh_vertadr[mesh], stage.model.mesh_vertnum[mesh]
        found = stage.model.mesh_vert[start : start + count]
        expected = CORNERS * scale
        expected -= (expected.min(0) + expected.max(0)) / 2
        expected /= np.linalg.norm(expected, axis=1).max()
        gaps = np.linalg.norm(found[:, None] - expected, axis=-1)  # MuJoCo may repeat and reorder vertices
        assert gaps.min(0).max() < 1e-5
        assert gaps.min(1).max() < 1e-5


@pytest.mark.draws
def test_the_environment_shows_them(folder):
    env = gym.make("worldjepa/Turntable-v0", meshes=str(folder), image_size=32)
    assert env.unwrapped.classes == ("bar", "cone")
    pose = {"rotation": [0, 0, 0, 1], "floor_hue": 0.2, "light_hue": 0.7}
    images = [env.reset(seed=0, options={"label": label, "object": 0, **pose})[0]["image"] for label in (0, 1)]
    assert (np.abs(images[0].astype(int) - images[1]).max(-1) > 20).mean() > 0.05
    numbers = {(int(obs["label"][0]), int(obs["object"][0])) for obs in (env.reset(seed=s)[0] for s in range(30))}
    assert numbers == {(0, 0), (1, 0), (1, 1)}
    env.close()


def test_wrong_folders_and_numbers_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="sub-folder"):
        find_meshes(folder / "cone")
    with pytest.raises(ValueError, match=r"0\.\.0"):
        TurntableEnv(obs_type="state", meshes=folder).reset(seed=0, options={"label": "bar", "object": 1})
    with pytest.raises(ValueError, match="bar, cone"):
        TurntableEnv(obs_type="state", meshes=folder, classes=["mug"])
