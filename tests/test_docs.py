"""The documents: links lead somewhere, files and commands named exist, and the code in them runs."""

import re
import shlex
from pathlib import Path

import pytest

from worldjepa import cli

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
SMALLER = {", 200)": ", 6)", "batch_size=128": "batch_size=8", "steps=3000": "steps=3, threads=1", "n=100": "n=2"}
"""What the test makes small in the quick start, and what of it must be there."""


def documents(repository: Path) -> list[Path]:
    return [path for pattern in DOCUMENTS for path in sorted(repository.glob(pattern))]


def test_the_documents_are_there(repository: Path) -> None:
    names = {str(x.relative_to(repository)) for x in documents(repository)}
    wanted = {"docs/design.md", "docs/data.md", "docs/adding_a_system.md", "docs/benchmarks.md"}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} | wanted <= names


def test_links_lead_somewhere(repository: Path) -> None:
    broken = []
    for path in documents(repository):
        for target in LINK.findall(path.read_text()):
            if "://" not in target and not (path.parent / target.split("#")[0]).exists():
                broken.append(f"{path.name}: {target}")
    assert broken == []


def test_files_named_in_the_documents_exist(repository: Path) -> None:
    named = re.compile(r"`((?:worldjepa|envs|policies|tests|examples|docs|\.ci)/[\w./-]*)`")
    missing = []
    for path in documents(repository):
        for name in named.findall(path.read_text()):
            is_env = name.startswith("worldjepa/") and name.endswith("-v0")
            if not is_env and not (repository / name).exists():
                missing.append(f"{path.name}: {name}")
    assert missing == []


def test_every_number_of_the_benchmarks_names_its_script(repository: Path) -> None:
    sections = re.split(r"^## ", (repository / "docs" / "benchmarks.md").read_text(), flags=re.MULTILINE)[1:]
    tables = [x for x in sections if re.search(r"^\|.*\d", x, flags=re.MULTILINE)]
    assert tables
    for section in tables:
        scripts = re.findall(r"examples/[\w/]+\.py", section)
        assert scripts, section.splitlines()[0]
        assert all((repository / x).is_file() for x in scripts)


def test_the_quick_start_of_the_readme_runs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = [text for kind, text in BLOCK.findall((repository / "README.md").read_text()) if kind == "python"]
    assert len(code.strip().splitlines()) <= 22
    for before, after in SMALLER.items():
        assert before in code
        code = code.replace(before, after)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert re.search(r"\d+\.\d% \[.*\] of 2 episodes", capsys.readouterr().out)
    assert (tmp_path / "runs/push/checkpoints/last/pretrained_model/model.safetensors").is_file()


def commands(repository: Path) -> list[str]:
    """Every line of a shell block or an indented block that calls worldjepa, comments cut off."""
    call = re.compile(rf"^(?:    |\$ )?(worldjepa (?:{'|'.join(cli.COMMANDS)}) .*)$")
    found = []
    for path in documents(repository):
        for line in path.read_text().splitlines():
            if match := call.match(line):
                found.append(match.group(1).split("  #")[0].strip())
    return found


def test_commands_in_the_documents_have_options_that_exist(repository: Path) -> None:
    """Each is parsed by its command as a user's would be; nothing is run."""
    import importlib

    import tyro

    lines = commands(repository)
    assert len(lines) >= 6
    for line in lines:
        _, name, *words = shlex.split(line)
        module = importlib.import_module(f"worldjepa.commands.{name}")
        if "--config" in words:
            continue
        if hasattr(module, "parse"):
            module.parse(words)
        else:
            tyro.cli(module.Options, args=words)


def test_options_of_scripts_in_the_documents_exist(repository: Path) -> None:
    """Of each ``python examples/...`` command, every option is a field, argument or option of that script or of what
    it imports from its own folder."""
    call = re.compile(r"python (examples/[\w/]+\.py)([^`]*)")
    found = 0
    for path in documents(repository):
        for script, words in call.findall(path.read_text()):
            source = _with_neighbours(repository / script)
            for option in re.findall(r"--([a-z][\w-]*)", words.split("\n\n")[0]):
                name = option.removeprefix("no-").replace("-", "_")
                assert re.search(rf"\b{name}\b|\"{option}\"|--{option}\b", source), f"{path.name}: {script} --{option}"
                found += 1
    assert found > 20


def _with_neighbours(script: Path) -> str:
    """Its source, and those of the scripts that it imports."""
    source = script.read_text()
    neighbours = {script.with_name(f"{name}.py") for name in re.findall(r"^from (\w+) import", source, re.MULTILINE)}
    return source + "".join(path.read_text() for path in neighbours if path.exists())
