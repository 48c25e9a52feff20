"""Rules of the repository that a reader relies on."""

import subprocess
from pathlib import Path

import pytest

SOURCES = ("worldjepa", "envs", "policies", "examples", "tests")
NAMELESS = {"utils.py", "common.py", "helpers.py", "misc.py", "base.py"}


def python_files(repository: Path) -> list[Path]:
    return [path for folder in SOURCES for path in sorted((repository / folder).rglob("*.py"))]


def test_no_file_is_longer_than_400_lines(repository: Path) -> None:
    lengths = {str(p.relative_to(repository)): len(p.read_text().splitlines()) for p in python_files(repository)}
    assert len(lengths) > 10
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_files_are_named_after_what_they_hold(repository: Path) -> None:
    assert [str(p.relative_to(repository)) for p in python_files(repository) if p.name in NAMELESS] == []


def test_python_files_are_ascii(repository: Path) -> None:
    found = []
    for path in python_files(repository):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.isascii():
                found.append(f"{path.relative_to(repository)}:{number}: {line.strip()[:60]}")
    assert found == []


def test_the_library_never_prints(repository: Path) -> None:
    """The command line may print; the packages a user imports may not."""
    found = []
    for folder in ("worldjepa", "envs", "policies"):
        for path in sorted((repository / folder).rglob("*.py")):
            name = path.relative_to(repository)
            if name.parts[:2] in (("worldjepa", "commands"), ("worldjepa", "cli.py")):
                continue
            found += [
                f"{name}:{n}"
                for n, line in enumerate(path.read_text().splitlines(), 1)
                if line.lstrip().startswith("print(")
            ]
    assert found == []


def test_constraints_are_exact_and_name_no_place(repository: Path) -> None:
    lines = [x for x in (repository / "constraints.txt").read_text().splitlines() if x and not x.startswith("#")]
    assert "torch==2.13.0" in lines
    assert [x for x in lines if x.count("==") != 1 or "/" in x or "+" in x or " " in x] == []


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", "README.md", "pyproject.toml", "CONTRIBUTING.md"])
def test_no_machine_path_is_written_down(repository: Path, name: str) -> None:
    text = (repository / name).read_text()
    assert not any(place in text for place in ("/work/", "/root/", "/opt/", "/home/"))


def test_shell_scripts_parse(repository: Path) -> None:
    subprocess.run(["bash", "-n", str(repository / ".ci" / "run")], check=True)
