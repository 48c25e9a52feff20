"""Each two-view method's loss and gradient against the published formula, written plainly on the latents."""

import copy

import pytest
import torch
import torch.nn.functional as F
from pair_methods import LATENT, NAMES, build_on_latents, latents, narrow
from torch import nn

from worldjepa.jepa import JEPA
from worldjepa.recipes.view_pairs import Config

Pair = tuple[torch.Tensor, torch.Tensor]


def info_nce(x: torch.Tensor, y: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cross entropy over the 2B - 1 others, as SimCLR, EquiMod and SIE's code have it."""
    z = F.normalize(torch.cat([x, y]))
    similar = (z @ z.T / temperature) - 1e9 * torch.eye(len(z))
    return F.cross_entropy(similar, torch.arange(len(z)).roll(len(x)))


def regularisers(x: torch.Tensor, y: torch.Tensor) -> Pair:
    """std_loss and cov_loss of facebookresearch/vicreg and SIE."""
    hinge, covariance = [], []
    for rows in (x, y):
        hinge.append(F.relu(1 - torch.sqrt(rows.var(dim=0) + 1e-4)).mean())
        square = torch.cov(rows.T).square()
        covariance.append((square.sum() - square.diagonal().sum()) / rows.shape[1])
    return sum(hinge) / 2, sum(covariance)  # pyright: ignore[reportReturnType]


def cosine(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return 2 - 2 * F.cosine_similarity(p, t.detach(), dim=1).mean()


def simclr(model, config: Config, x, y, a, averaged):
    head = model.target.projector.layers
    return info_nce(head(x), head(y), config.temperature)


def vicreg(model, config: Config, x, y, a, averaged):
    head = model.target.projector.layers
    p, q = head(x), head(y)
    std, cov = regularisers(p, q)
    return config.invariance * F.mse_loss(p, q) + config.variance * std + config.covariance * cov


def byol(model, config: Config, x, y, a, averaged):
    online, average = model.predictor.projector.layers, model.target.encoder.projector.layers
    p, q = model.predictor.head.layers(online(torch.cat([x, y]))).chunk(2)
    x_target, y_target = average(torch.cat(averaged)).chunk(2)
    return cosine(p, y_target) + cosine(q, x_target)


def cond_byol(model, config: Config, x, y, a, averaged):
    online, average = model.predictor.projector.layers, model.target.encoder.projector.layers
    move = model.predictor.transform
    y_hat = move.head.layers(torch.cat([move.embed.layers(a), online(x)], dim=1))
    return cosine(y_hat, average(averaged[1]))


def equimod(model, config: Config, x, y, a, averaged):
    heads, move = model.target.projector, model.predictor.transform
    alike = info_nce(heads.invariant.layers(x), heads.invariant.layers(y), config.temperature)
    x_equi, y_equi = heads.equivariant.layers(x), heads.equivariant.layers(y)
    y_hat = move.head.layers(torch.cat([move.embed.layers(a), x_equi], dim=1))
    return alike + config.equivariance * info_nce(y_hat, y_equi, config.temperature)


def sie(model, config: Config, x, y, a, averaged):
    heads, half = model.target.projector, LATENT // 2
    x_inv, y_inv = (heads.invariant.layers(z[:, :half]) for z in (x, y))
    x_equi, y_equi = (heads.equivariant.layers(z[:, half:]) for z in (x, y))
    matrices = torch.einsum("bk,koi->boi", a, model.predictor.transform.generators)
    y_hat = torch.bmm(x_equi[:, None], matrices.transpose(1, 2))[:, 0]
    std, cov = regularisers(torch.cat([x_inv, x_equi], dim=1), torch.cat([y_inv, y_equi], dim=1))
    std_hat = F.relu(1 - torch.sqrt(y_hat.var(dim=0) + 1e-4)).mean() / 2
    alike, moved = F.mse_loss(x_inv, y_inv), F.mse_loss(y_hat, y_equi)
    return (
        config.invariance * alike
        + config.equivariance * moved
        + config.variance * (std + std_hat)
        + config.covariance * cov
    )


FORMULAS = {f.__name__: f for f in (simclr, byol, cond_byol, vicreg, equimod, sie)}


CASES = [(name, "batch") for name in NAMES] + [(name, "averaged") for name in NAMES if "byol" in name]


def move_the_average(model: JEPA) -> None:
    """As after some steps: the target is not the online branch, and its running statistics are of something."""
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)


@pytest.mark.parametrize(("name", "statistics"), CASES)
def test_a_method_is_its_formula(name, statistics) -> None:
    torch.manual_seed(0)
    model, objective = build_on_latents(name, target_statistics=statistics)
    assert statistics == "averaged" or narrow(name).target_statistics == "batch"
    move_the_average(model)
    theirs, batch, again = copy.deepcopy(model).train(), latents(), latents()
    if "byol" in name:  # batch norm of the averaged branch: statistics of its own batch as published, or running ones
        theirs.target.encoder.projector.layers.train(statistics == "batch")
    losses = objective(model.train()(batch), batch)
    x, y = (theirs.encoder.scale * again["z"]).unbind(1)
    averaged = (theirs.target.encoder.encoder.scale * again["z"]).unbind(1) if "byol" in name else None
    expected = FORMULAS[name](theirs, narrow(name), x, y, again["action"][:, 0], averaged)
    torch.testing.assert_close(losses["loss"], expected)
    ours, wanted = (
        torch.autograd.grad(*pair) for pair in ((losses["loss"], _learned(model)), (expected, _learned(theirs)))
    )
    for a, b in zip(ours, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-3)
    assert ours[0].abs().min() > 1e-4  # of every feature of the encoder


@pytest.mark.parametrize("name", [name for name in NAMES if "byol" in name])
def test_statistics_of_the_targets_batch_norm_are_told_apart(name) -> None:
    """By default those of its own batch, in training; in eval mode both are running ones."""
    found = {}
    for statistics in ("batch", "averaged"):
        torch.manual_seed(0)
        model, _ = build_on_latents(name, target_statistics=statistics)
        move_the_average(model)
        with torch.no_grad():
            found[statistics] = (model.train()(latents()).target, model.eval()(latents()).target)
    assert not torch.allclose(found["batch"][0], found["averaged"][0], atol=0.1)
    torch.testing.assert_close(found["averaged"][0], found["averaged"][1])


def _learned(model: JEPA) -> list[torch.Tensor]:
    return [p for p in model.parameters() if p.requires_grad]
