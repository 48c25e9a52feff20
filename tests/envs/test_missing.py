"""A simulator that is not installed: the error names the extra."""

import pytest

from worldjepa_envs.missing import require


def test_error_names_the_extra():
    with pytest.raises(ModuleNotFoundError, match=r'pip install "worldjepa\[pusht\]"'):
        require("no_such_simulator", "pusht")


def test_installed_module_is_returned():
    assert require("json", "pusht").loads("1") == 1


def test_a_missing_library_of_the_system_is_named(tmp_path, monkeypatch):
    (tmp_path / "needs_gl.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"cannot be loaded \(libGL.*apt-get install libgl1"):
        require("needs_gl", "pusht")
