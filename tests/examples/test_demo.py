"""The demo in miniature, as a user starts it: every step shows its command, and it ends with a report."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_ends_with_a_report(repository: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(repository / "examples" / "00_demo.py"), "--quick", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = tmp_path / "act_jepa" / "report.html"
    assert f"The report: {report}" in done.stdout.replace("\n", "")
    for command in ("collect", "inspect", "train act_jepa", "train act", "train bc", "evaluate", "imagine", "report"):
        assert f"$ worldjepa {command} " in done.stdout
    assert {x.name for x in (tmp_path / "act_jepa").iterdir()} >= {"report.html", "probe.json", "imagination.json"}
