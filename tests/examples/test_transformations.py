"""The example of transformations in miniature, as a user starts it, twice: nothing is made again."""

import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ["--objects", "48", "--views", "4", "--steps", "2", "--lengths", "1", "3", "--probe-epochs", "2"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_example_records_learns_measures_and_reports(repository: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(repository / "examples" / "03_transformations.py"), "--out", str(tmp_path), *SMALL]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ("told: top-1 %, 10 objects, views:", "not_told: top-1 %", "aggregate (leakage)", "path integration"):
        assert text in done.stdout
    compared = done.stdout.split("4. Told against not told")[1]
    for line in ("top-1, one view", "top-1, aggregate of 3", "of rotation", "MRR of 4 views"):
        assert line in compared
    assert (tmp_path / "equivariance.png").stat().st_size > 10_000
    assert "not_told" in (tmp_path / "told" / "report.html").read_text()
