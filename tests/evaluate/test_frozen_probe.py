import pytest
import torch

from worldjepa.evaluate.frozen_probe import ProbeSettings, fit_probe
from worldjepa.evaluate.object_scores import r2

FAST = ProbeSettings(epochs=60, batch_size=64, lr=1e-2, hidden=32)


def data(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of very different scales, and their objects (four samples each)."""
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return x * torch.tensor([1.0, 100.0, 0.01, 1.0]) + 5, torch.arange(n) // 4


def test_a_linear_map_is_found_whatever_the_scales() -> None:
    x, group = data(200, 0)
    matrix = torch.tensor([[1.0, 0], [0.02, 0], [0, 300.0], [0, 1]])
    probe = fit_probe(x, x @ matrix, group, kind="linear", settings=FAST)
    new, held = data(200, 1)
    assert r2(probe.values(new).numpy(), (new @ matrix).numpy(), held.numpy()).estimate > 0.999


def test_a_perceptron_reads_what_no_linear_map_can() -> None:
    x, group = data(600, 0)
    new, held = data(200, 1)
    scores = {}
    for kind in ("linear", "mlp"):
        probe = fit_probe(x, (x[:, :1] - 5).square(), group, kind=kind, settings=FAST)  # type: ignore[arg-type]
        scores[kind] = r2(probe.values(new).numpy(), (new[:, :1] - 5).square().numpy(), held.numpy()).estimate
    assert scores["linear"] < 0.2
    assert scores["mlp"] > 0.9


def test_classes_are_told_apart() -> None:
    x, group = data(400, 0)
    label = (x[:, 1] > 5).long() + (x[:, 0] > 5).long()
    probe = fit_probe(x, label, group, kind="mlp", settings=FAST, num_classes=3)
    new, _ = data(200, 1)
    right = probe.classes(new) == (new[:, 1] > 5).long() + (new[:, 0] > 5).long()
    assert right.float().mean() > 0.93


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_noise_is_not_fitted(kind: str) -> None:
    """With more features than samples, the epoch that is best on held-out training objects says the mean."""
    x, y = torch.randn(2, 160, 300, generator=torch.Generator().manual_seed(3))
    group = torch.arange(80) // 4
    wide = ProbeSettings(epochs=20, batch_size=8, lr=1e-2, hidden=32, valid=0.3)
    probe = fit_probe(x[:80], y[:80, :1], group, kind=kind, settings=wide)  # type: ignore[arg-type]
    found = r2(probe.values(x[80:]).numpy(), y[80:, :1].numpy(), group.numpy())
    assert -0.1 < found.estimate < 0.05


def test_the_objects_that_choose_the_epoch_are_not_trained_on() -> None:
    """Features of one object say nothing about its noise: were it trained on, its own samples would be fitted."""
    x = torch.eye(20).repeat_interleave(5, 0)
    y = torch.randn(20, 1, generator=torch.Generator().manual_seed(0)).repeat_interleave(5, 0)
    wide = ProbeSettings(epochs=30, batch_size=16, lr=0.05, hidden=64, patience=30, valid=0.5)
    probe = fit_probe(x, y, torch.arange(100) // 5, kind="linear", settings=wide)
    error = (probe.values(x) - y).square().reshape(20, 5).mean(1)
    assert (error > 0.1).sum() >= 5


def test_a_seed_fixes_the_probe() -> None:
    x, group = data(100, 0)
    short = ProbeSettings(epochs=3, hidden=8)
    first, again, other = (
        fit_probe(x, x[:, :2], group, kind="mlp", settings=s).values(x)
        for s in (short, short, ProbeSettings(epochs=3, hidden=8, seed=1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_global_generator_is_left_alone() -> None:
    x, group = data(40, 0)
    before = torch.random.get_rng_state()
    fit_probe(x, x[:, :1], group, kind="mlp", settings=ProbeSettings(epochs=1, hidden=4))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_cannot_be_fitted_is_said() -> None:
    x, group = data(8, 0)
    with pytest.raises(ValueError, match="two training objects"):
        fit_probe(x, x, torch.zeros(8, dtype=torch.long), kind="linear", settings=FAST)
    with pytest.raises(ValueError, match="diverged"):
        fit_probe(x * torch.nan, x, group, kind="linear", settings=FAST)
    with pytest.raises(ValueError, match="positive"):
        ProbeSettings(epochs=0)
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        ProbeSettings(valid=1.0)
