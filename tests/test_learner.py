"""The learner: raw units in and out, blind to padding, the monitor."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import IMAGES, SPEC, TINY, ToyStatistics, present, toy_batch, toy_learner, toy_statistics, train

from worldjepa.objectives import ActionChunk, copy_ratio
from worldjepa.recipes import make_learner

CONDITIONED = replace(TINY, action_conditioned=True)
H = TINY.history


def losses_and_gradients(learner, batch) -> dict[str, torch.Tensor]:
    learner.zero_grad()
    losses = learner(batch)
    losses["loss"].backward()
    found = {name: value.detach() for name, value in losses.items()}
    return found | {name: p.grad.clone() for name, p in learner.named_parameters() if p.grad is not None}


def test_its_loss_is_the_objective_of_the_model_on_the_normalised_batch() -> None:
    learner, batch = toy_learner(), toy_batch()
    normalised = learner.normalizer(batch)
    expected = learner.objective(learner.model(normalised), normalised)
    losses = learner(batch)
    assert set(losses) == {"action_l1", "latent_l1", "loss"}
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(losses["loss"], losses["action_l1"] + losses["latent_l1"])


def test_units_do_not_matter() -> None:
    """The same data in millimetres, with the statistics of millimetres, is the same to the model."""
    metres, batch = toy_learner(), toy_batch()
    scaled = {
        key: ToyStatistics(*(1000.0 * getattr(value, name) for name in ("mean", "std", "min", "max")))
        for key, value in toy_statistics().items()
    }
    torch.manual_seed(0)
    millimetres = make_learner("act_jepa", TINY, replace(SPEC, action_low=None, action_high=None), scaled)
    large = batch.clone()
    large["obs"] = large["obs"].apply(lambda x: 1000.0 * x)
    large["action"] = 1000.0 * batch["action"]
    torch.testing.assert_close(millimetres(large), metres(batch), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        millimetres.normalizer.normalize_action(millimetres.actions(present(large)), present(large)),
        metres.objective.term(ActionChunk).head(metres.encode(present(batch))),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("junk", [1e20, torch.nan, torch.inf])
def test_losses_and_gradients_are_blind_to_padding(junk) -> None:
    learner, batch = toy_learner(), toy_batch()
    other = batch.clone()
    other["obs", "agent", "pos"][~batch["valid"]] = junk
    other["obs", "block"][~batch["valid"]] = -junk
    other["action"][~batch["action_valid"]] = junk
    assert not batch["valid"].all()
    before, after = losses_and_gradients(learner, batch), losses_and_gradients(learner, other)
    for name, value in before.items():
        assert torch.equal(value, after[name]), name


def test_told_actions_after_the_end_change_no_loss() -> None:
    learner, batch = toy_learner(CONDITIONED), toy_batch()
    other = batch.clone()
    other["action"][~batch["action_valid"]] = 50.0
    before, after = losses_and_gradients(learner, batch), losses_and_gradients(learner, other)
    for name, value in before.items():
        assert torch.equal(value, after[name]), name


def test_losses_are_means_over_real_steps_not_over_rows() -> None:
    """Two rows with n and m valid steps: their joint loss weighs them n : m."""
    learner, batch = toy_learner(), toy_batch(rows=4, steps=5)
    valid = batch["action_valid"][:, H - 1 : H - 1 + TINY.chunk].sum(1)
    rows = [learner(batch[i : i + 1])["action_l1"] for i in range(4)]
    expected = sum(n * loss for n, loss in zip(valid, rows)) / valid.sum()
    assert len(set(valid.tolist())) > 1
    torch.testing.assert_close(learner(batch)["action_l1"], expected)


def test_actions_are_the_heads_in_raw_units_and_within_bounds() -> None:
    learner, batch = toy_learner(), toy_batch()
    free = learner.objective.term(ActionChunk).head(learner.encode(present(batch)))
    raw = free * learner.normalizer.scale_action + learner.normalizer.shift_action
    torch.testing.assert_close(learner.actions(present(batch)), raw)
    with torch.no_grad():
        learner.objective.term(ActionChunk).head.out.bias.fill_(100.0)
    assert learner.actions(present(batch)).unique(dim=0).tolist() == [[[2.0, 3.0]] * TINY.chunk]


def test_without_an_action_head_there_are_no_actions() -> None:
    learner = toy_learner()
    learner.objective.terms = learner.objective.terms[1:]
    with pytest.raises(ValueError, match="no ActionChunk term"):
        learner.actions(present(toy_batch()))


def test_a_rollout_takes_raw_observations_and_actions() -> None:
    learner, batch = toy_learner(CONDITIONED), toy_batch()
    action = batch["action"][:, : H - 1 + TINY.horizon]
    expected = learner.model(learner.normalizer(batch)).predicted[:, 1:]
    torch.testing.assert_close(learner.rollout(present(batch), action), expected)


def test_relative_actions_are_counted_from_the_present_observation() -> None:
    """Moving everything by one offset moves the actions by it and changes nothing else."""
    spec = replace(SPEC, action_low=None, action_high=None)
    config = replace(TINY, state_keys=("agent/pos",), relative_to="agent/pos", normalization="identity")
    statistics = {key: value for key, value in toy_statistics().items() if key != "block"}
    torch.manual_seed(0)
    learner = make_learner("act_jepa", config, spec, statistics)
    batch = toy_batch()
    batch["obs"] = batch["obs"].exclude("block")
    normalised = learner.normalizer(batch)
    here = batch["obs", "agent", "pos"][:, H - 1 : H]
    torch.testing.assert_close(normalised["action"], batch["action"] - here)
    head = learner.objective.term(ActionChunk).head(learner.encode(present(batch)))
    torch.testing.assert_close(learner.actions(present(batch)), head + here)


@pytest.mark.parametrize("config", [CONDITIONED, replace(IMAGES, target_keys=("image",))], ids=["states", "images"])
def test_it_works_where_its_batch_is(config) -> None:
    """On another device than the CPU; "meta" refuses every tensor that was made elsewhere."""
    learner = toy_learner(config).to("meta")
    batch = toy_batch(images=bool(config.image_keys)).to("meta")
    losses = learner(batch)
    losses["loss"].backward()
    learner.update_target(0)
    assert {value.device.type for value in losses.values()} == {"meta"}
    assert learner.actions(present(batch)).device.type == "meta"
    if config.action_conditioned:
        assert learner.rollout(present(batch), batch["action"][:, : H - 1 + config.horizon]).device.type == "meta"


@pytest.mark.parametrize("config", [CONDITIONED, replace(IMAGES, target_keys=("image",))], ids=["states", "images"])
def test_half_precision_is_near_full(config) -> None:
    learner, batch = toy_learner(config), toy_batch(images=bool(config.image_keys))
    full = learner(batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = learner(batch)
    half["loss"].backward()
    for name, value in half.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, full[name], rtol=0.02, atol=0)
    assert all(p.grad.isfinite().all() for p in learner.parameters() if p.grad is not None)


def test_the_monitor_measures_and_touches_nothing() -> None:
    learner, batch = toy_learner(replace(TINY, dropout=0.5)), toy_batch()
    learner.train()
    before, state = copy.deepcopy(learner.state_dict()), torch.get_rng_state()
    values = learner.diagnostics(batch)
    names = {"std", "std_min", "rank", "target_std", "target_std_min", "target_rank", "copy_ratio"}
    assert set(values) == {f"collapse/{name}" for name in names}
    assert all(np.isfinite(list(values.values())))
    assert learner.training
    assert not learner.model.target.encoder.training
    assert torch.equal(state, torch.get_rng_state())
    for name, value in learner.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in learner.parameters())
    prediction = learner.eval().model(learner.normalizer(batch))
    assert values["collapse/copy_ratio"] == pytest.approx(copy_ratio(prediction).item())


def test_copying_is_measured_where_targets_are_steps_of_time() -> None:
    """Two views of one thing that are both predicted have no first one to be copied."""

    class Told:
        """The same views, by a function that does not say what they are."""

        def __init__(self, views):
            self.views = views

        def __call__(self, batch, generator=None):
            return self.views(batch, generator)

    learner, batch = toy_learner(), toy_batch()
    before = learner.diagnostics(batch)
    learner.model.views = Told(learner.model.views)
    after = learner.diagnostics(batch)
    assert before.keys() - after.keys() == {"collapse/copy_ratio"}
    assert after.items() <= before.items()


def test_the_monitor_sees_collapse() -> None:
    learner, batch = toy_learner(), toy_batch()
    healthy = learner.diagnostics(batch)
    with torch.no_grad():
        for part in (learner.model.encoder, learner.model.target.encoder):
            part.norm.weight.zero_()
    collapsed = learner.diagnostics(batch)
    for name in ("std", "rank", "target_std", "target_rank"):
        assert collapsed[f"collapse/{name}"] == 0.0
        assert healthy[f"collapse/{name}"] > 0.1


def test_the_monitor_sees_a_dead_dimension() -> None:
    learner, batch = toy_learner(), toy_batch()
    healthy = learner.diagnostics(batch)
    for part, prefix in ((learner.model.encoder, ""), (learner.model.target.encoder, "target_")):
        with torch.no_grad():
            part.norm.weight[3] = 0.0
        found = learner.diagnostics(batch)
        assert found[f"collapse/{prefix}std_min"] == 0.0
        assert 0.01 < healthy[f"collapse/{prefix}std_min"] <= healthy[f"collapse/{prefix}std"]
        assert found[f"collapse/{prefix}std"] > 0.5 * healthy[f"collapse/{prefix}std"]


def test_a_copy_trains_alone() -> None:
    learner = toy_learner()
    twin = copy.deepcopy(learner)
    before = copy.deepcopy(learner.state_dict())
    moved = train(twin, [toy_batch(seed=i) for i in range(3)])
    for name, value in learner.state_dict().items():
        assert torch.equal(value, before[name])
    assert train(learner, [toy_batch(seed=i) for i in range(3)]) == moved
    for name, value in learner.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name])
