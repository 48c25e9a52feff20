"""SIGKILL at any moment: no half checkpoint is ever taken for a whole one, and the resumed run ends the same."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from same_run import assert_same_run, folder_in_memory

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def killed() -> Iterator[tuple[Path, dict]]:
    """Folder of an uninterrupted and a killed run, and what was seen on the way."""
    with folder_in_memory() as place:
        yield place, run_worker(place)


def run_worker(folder: Path) -> dict:
    """What kill_worker.py prints."""
    worker = Path(__file__).parents[1] / "support" / "kill_worker.py"
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, worker, folder], env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_ten_random_moments(killed):
    folder, seen = killed
    moments = [steps for run in seen["moments"].values() for steps in run]
    assert len(moments) == 10
    assert len(set(moments)) > 2, "the run must have made progress between the kills"
    for run in seen["moments"]:
        assert_same_run(folder / "whole", folder / run)


def test_every_operation_of_a_save(killed):
    _, seen = killed
    cases = seen["operations"]
    assert len(cases) > 20
    assert cases[0]["left"] == [1]
    assert cases[-1]["left"] == [2]
    for number, case in enumerate(cases):
        assert case["whole"], f"a half checkpoint after operation {number}"
        assert case["left"] in ([1], [1, 2], [2])
        assert int(case["pointed"]) in case["left"], f"`last` dangles after operation {number}"
        assert int(case["mended"]) == case["left"][-1]
        assert not [name for name in case["names"] if name.startswith(".tmp-")]
