"""Launches that would silently train something else are refused."""

import pytest
from accelerate import Accelerator

from worldjepa.train.config import FitConfig
from worldjepa.train.sharding import distribute, make_accelerator


def test_the_other_fsdp_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match=r"set FitConfig\.sharded instead"):
        make_accelerator(FitConfig())


def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch):
    Accelerator(cpu=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="2 processes were launched, but this one counts 1"):
        make_accelerator(FitConfig(device="cpu"))


def test_one_process_cannot_shard():
    from tiny_learner import TinyLearner

    config = FitConfig(sharded=True, device="cpu")
    with pytest.raises(ValueError, match="needs several processes: launch with torchrun"):
        distribute(TinyLearner(), make_accelerator(config), config)
