"""A simulator that is not installed: the error names the extra."""

import pytest

from worldjepa_envs.missing import require


def test_error_names_the_extra():
    with pytest.raises(ModuleNotFoundError, match=r'pip install "worldjepa\[pusht\]"'):
        require("no_such_simulator", "pusht")


def test_installed_module_is_returned():
    assert require("json", "pusht").loads("1") == 1
