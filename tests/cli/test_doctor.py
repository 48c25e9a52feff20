"""The doctor: conflicts it must see, and what drawing with each backend tells it."""

import os

import pytest

from worldjepa import cli
from worldjepa.commands import doctor, rendering, versions

GOOD = {"torch": "2.13.0", "gymnasium": "1.4.0", "mujoco": "3.3.0", "metaworld": "3.1.1", "robosuite": "1.5.1"}


def test_versions_that_work_together_are_left_alone() -> None:
    assert versions.measured_conflicts(GOOD) == []


@pytest.mark.parametrize(
    ("change", "package", "says"),
    [
        ({"mujoco": "3.10.0"}, "robosuite 1.5.1", "mj_fullM"),
        ({"mujoco": "3.12.0", "robosuite": "0.0", "gymnasium-robotics": "1.4.2"}, "gymnasium-robotics 1.4.2", "enums"),
        ({"mujoco": "3.17.0"}, "metaworld 3.1.1", "constraint data"),
        ({"mujoco": "3.9.0", "gym-aloha": "0.1.5"}, "gym-aloha 0.1.5", "dm-control"),
        ({"gymnasium": "0.29.1"}, "worldjepa", "success rates"),
    ],
)
def test_measured_conflicts_are_named_with_what_to_do(change: dict[str, str], package: str, says: str) -> None:
    found = {x.package: x for x in versions.measured_conflicts(GOOD | change)}
    assert says in found[package].why
    assert found[package].do.startswith("pip install")


def test_declared_conflicts_are_read_from_metadata() -> None:
    present = versions.installed()
    assert versions.declared_conflicts(present) == []
    (found,) = [
        x for x in versions.declared_conflicts(present | {"torch": "1.0"}) if x.package.startswith("accelerate")
    ]
    assert found.needs.startswith("torch>=")
    assert found.found == "1.0"


@pytest.mark.parametrize(
    "error",
    [
        ImportError("undefined symbol: _ZN3c10"),
        RuntimeError("operator torchvision::nms does not exist"),
        OSError("libcudart.so.12: cannot open shared object file"),
    ],
)
def test_a_torchvision_that_cannot_be_imported_is_named(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        assert name == "torchvision"
        raise error

    present = GOOD | {"torchvision": "0.28.0"}
    monkeypatch.setattr(versions.importlib, "import_module", fail)
    found = versions.torchvision_fault(present)
    assert found is not None
    assert (found.package, found.found, found.why) == ("torchvision 0.28.0", "2.13.0", str(error))
    assert found.do.startswith("pip uninstall torchvision")
    assert versions.torchvision_fault(GOOD) is None, "what is not installed is not imported"


def test_a_torchvision_that_can_be_imported_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions.importlib, "import_module", lambda name: object())
    assert versions.torchvision_fault(GOOD | {"torchvision": "0.28.0"}) is None


def test_all_kinds_of_conflict_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError("broken")

    names = ["accelerate", "robosuite", "torchvision"]
    found = {"accelerate": "1.15.0", "torch": "1.0", "mujoco": "3.10.0", "robosuite": "1.5.1", "torchvision": "0.28.0"}
    monkeypatch.setattr(versions, "installed", lambda: found)
    monkeypatch.setattr(versions.importlib, "import_module", fail)
    needs = {"accelerate": ["torch>=2.0.0", 'numpy>=1; extra == "test"', "PyYAML"]}
    monkeypatch.setattr(versions.importlib.metadata, "requires", lambda name: needs.get(name))
    assert [x.package.split()[0] for x in versions.conflicts()] == names


def test_a_broken_backend_says_so_and_a_hanging_one_ends() -> None:
    broken = rendering.probe("nonsense")
    assert not broken.works
    assert "nonsense" in broken.error
    assert "no frame within" in rendering.probe("egl", timeout_s=0.01).error


@pytest.mark.draws
def test_a_working_backend_draws() -> None:
    found = rendering.probe(os.environ["MUJOCO_GL"])
    assert found.works, found.error
    assert found.renderer
    assert 0 < found.ms < 1000


def backend(name: str, works: bool) -> rendering.Backend:
    return rendering.Backend(name, works, "driver" if works else "", 1.0, "" if works else "it broke")


def test_the_users_choice_of_backend_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert rendering.candidates() == ["osmesa", "egl"]
    monkeypatch.setattr(rendering, "probe", lambda name: backend(name, name == "egl"))
    findings = doctor.check_rendering()
    assert [x.level for x in findings] == ["fault", "note"]
    assert findings[0].do == "export MUJOCO_GL=egl"
    assert "libosmesa6" in findings[1].do


def test_where_nothing_can_draw_simulation_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering.sys, "platform", "linux")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(rendering, "probe", lambda name: backend(name, False))
    assert doctor.check_rendering()[0].level == "fault"
    assert rendering.choose() == "disable"
    assert os.environ["MUJOCO_GL"] == "disable"


def test_more_threads_than_cores_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    (found,) = [x for x in doctor.check_torch() if x.topic == "threads"]
    assert found.level == "note"
    assert "OMP_NUM_THREADS" in found.do


def test_a_fault_makes_the_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fault = doctor.Finding("fault", "versions", "robosuite [broken]", "pip install this")
    monkeypatch.setattr(doctor, "examine", lambda folder: [fault])
    assert cli.main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "robosuite [broken]" in output
    assert "-> pip install this" in output
