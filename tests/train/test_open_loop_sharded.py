"""World models whose loss imagines several steps learn in shards (FSDP2, two processes, gloo) what one process does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from world_worker import MODELS, train

from worldjepa.train.log import read_metrics


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    worker = Path(__file__).parents[1] / "support" / "world_worker.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", worker, folder]
    paths = os.pathsep.join(path for path in sys.path if path)
    env = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("model", MODELS)
def test_shards_learn_what_one_process_learns(runs: Path, tmp_path: Path, model: str) -> None:
    train(tmp_path, model)

    def curve(folder: Path) -> torch.Tensor:
        return torch.tensor([[row[x] for x in ("loss", "open_loop", "grad_norm")] for row in read_metrics(folder)])

    torch.testing.assert_close(curve(runs / f"shards_{model}"), curve(tmp_path), rtol=1e-3, atol=1e-4)
