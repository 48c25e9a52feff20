"""What work takes of a GPU: the share of time in which kernels run, and the most memory."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

import torch


@contextmanager
def watched(device: str) -> Iterator[dict[str, float]]:
    """What the work within takes of the GPU, filled in at its end: "gpu_busy" and "gpu_mib"; nothing without a GPU.

    Busy is the share of time in which any kernel runs, of this process or of others, as nvidia-smi samples it five
    times a second; memory is the allocator's peak.
    """
    found: dict[str, float] = {}
    if device == "cpu" or not torch.cuda.is_available():
        yield found
        return
    torch.cuda.reset_peak_memory_stats()
    query = ["nvidia-smi", f"--id=GPU-{torch.cuda.get_device_properties(0).uuid}", "--query-gpu=utilization.gpu"]
    with TemporaryFile("w+") as file:
        sampler = None
        if shutil.which("nvidia-smi"):
            sampler = subprocess.Popen([*query, "--format=csv,noheader,nounits", "--loop-ms=200"], stdout=file)
        try:
            yield found
        finally:
            if sampler is not None:
                sampler.terminate()
                sampler.wait()
        file.seek(0)
        share = busy(file.read())
    if share is not None:
        found["gpu_busy"] = share
    found["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20


def busy(sampled: str) -> float | None:
    """Mean of percentages, one a line, from the first kernel on: what precedes it is opening the data."""
    percent = [float(line) for line in sampled.split() if line.isdigit()]
    first = next((i for i, value in enumerate(percent) if value > 0), len(percent))
    return sum(percent[first:]) / (100 * len(percent[first:])) if percent[first:] else None
