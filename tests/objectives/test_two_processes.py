"""Two processes with half of the rows each give the loss and, averaged as DDP does, the gradient of one process."""

import loss_worker
import pytest
import torch
import torch.multiprocessing
from pair_methods import NAMES

ALIKE = ["gathered", "nt_xent", "nt_xent_padded", "variance", "covariance", "padded", "step", "sigreg", "sigreg_pooled"]
"""The same on all processes."""
ALONE = ["weighted", "mean", "empty", "sequence", *ALIKE]


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> list[dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(loss_worker.work, (folder,), loss_worker.NUM_PROCESSES)
    return [torch.load(folder / f"{rank}.pt") for rank in range(loss_worker.NUM_PROCESSES)]


@pytest.mark.parametrize("name", ALONE)
def test_the_mean_over_processes_is_the_value_of_one(both, name) -> None:
    if name in ALIKE:
        assert torch.equal(both[0][f"{name}/value"], both[1][f"{name}/value"])
    mean = (both[0][f"{name}/value"] + both[1][f"{name}/value"]) / 2
    torch.testing.assert_close(mean, loss_worker.losses()[f"{name}/value"])


@pytest.mark.parametrize("name", ALONE)
def test_the_gradient_is_that_of_one(both, name) -> None:
    """Of each row: its parameters' gradients are averaged over processes, so half of what a process computes."""
    merged = torch.stack([half[f"{name}/gradient"] for half in both], dim=1).flatten(0, 1) / 2
    expected = loss_worker.losses()[f"{name}/gradient"]
    torch.testing.assert_close(merged, expected)
    assert name == "empty" or expected.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_two_view_method_learns_what_it_learns_in_one_process(both, name) -> None:
    """Projectors and their batch norms included; these compute in float32."""
    alone = loss_worker.method_losses()
    mean = (both[0][f"{name}/value"] + both[1][f"{name}/value"]) / 2
    torch.testing.assert_close(mean, alone[f"{name}/value"], rtol=1e-5, atol=1e-5)
    merged = torch.stack([half[f"{name}/gradient"] for half in both], dim=1).flatten(0, 1) / 2
    torch.testing.assert_close(merged, alone[f"{name}/gradient"], rtol=1e-3, atol=1e-4)
