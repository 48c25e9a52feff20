"""The command line: quick help, one clear message for a user's mistake, and nothing heavy before it is needed."""

import resource
import subprocess
import sys

import pytest

from worldjepa import cli


def quickest(args: list[str], runs: int = 3) -> tuple[float, str]:
    """(fewest CPU seconds of several runs, output) of ``python -m worldjepa ARGS``; a busy machine does not count."""
    seconds, output = [], ""
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "worldjepa", *args], check=True, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        output = done.stdout
    return min(seconds), output


@pytest.mark.parametrize("args", [["--help"], [], ["train", "--help"], ["collect", "--help"], ["inspect", "--help"]])
def test_help_is_quick(args: list[str]) -> None:
    seconds, output = quickest(args)
    assert "usage: worldjepa" in output
    assert seconds < 0.5


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help_without_importing_torch(name: str) -> None:
    code = (
        "import sys\nfrom worldjepa import cli\n"
        f"assert cli.main([{name!r}, '--help']) == 0\n"
        "print('torch' in sys.modules, 'mujoco' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip().endswith("False False")


def test_an_unknown_command_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    assert "choose one of doctor, envs" in capsys.readouterr().err


def test_a_users_mistake_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--folder", "no/such/folder"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("worldjepa: error: no/such/folder is not a folder")
    assert "Traceback" not in error


def test_debug_shows_where_an_error_came_from() -> None:
    with pytest.raises(ValueError, match="not a folder"):
        cli.main(["doctor", "--folder", "no/such/folder", "--debug"])
    with pytest.raises(ValueError, match="not a folder"):
        cli.main(["--debug", "doctor", "--folder", "no/such/folder"])


def test_interruption_is_not_an_error_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str, args: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupted)
    assert cli.main(["doctor"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip().count(".") == 2
