"""The world-model example in miniature, as a user starts it."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_example_plays_learns_imagines_and_plans(repository: Path, tmp_path: Path) -> None:
    small = ["--minutes", "0.05", "--goals", "1", "--episodes", "12"]
    words = [
        sys.executable,
        str(repository / "examples" / "01_world_model_and_plan.py"),
        "--out",
        str(tmp_path),
        *small,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 40 steps ahead" in done.stdout
    assert "random: " in done.stdout
    assert list((tmp_path / "model" / "videos").glob("*.mp4"))
