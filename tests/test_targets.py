"""Targets: closed forms of the moving average, who follows whom, where gradients stop."""

import copy
import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from toys import IMAGES, TINY, toy_batch, toy_learner, train

from worldjepa.targets import EMATarget, Fixed, Shared, StopGradient, cosine_momentum, linear_momentum


class Net(nn.Module):
    """An encoder with everything a target must follow: weights, batch-norm statistics, an integer buffer, dropout."""

    num_tokens, dim = 1, 3

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.dropout = nn.Dropout(0.5)
        self.empty = nn.Parameter(torch.randn(3))

    def forward(self, view):
        return self.dropout(self.norm(self.linear(view["x"])) + self.empty)[:, None, None]


def view(rows: int = 8) -> TensorDict:
    return TensorDict({"x": torch.randn(rows, 2)}, batch_size=[rows])


def change(net: nn.Module) -> None:
    """New values for all weights and buffers."""
    with torch.no_grad():
        for value in net.parameters():
            value.normal_()
    for value in net.buffers():
        value.add_(1 if not value.is_floating_point() else torch.rand_like(value))


def floats(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items() if value.is_floating_point()}


def test_it_starts_as_an_exact_copy_with_its_own_memory() -> None:
    online = Net()
    target = EMATarget(online)
    for name, value in target.encoder.state_dict().items():
        assert torch.equal(value, online.state_dict()[name])
        assert value.data_ptr() != online.state_dict()[name].data_ptr()


def test_momentum_one_keeps_it_to_the_last_bit() -> None:
    online = Net()
    target = EMATarget(online, 1.0)
    before = floats(target.encoder)
    change(online)
    target.update(0)
    for name, value in floats(target.encoder).items():
        assert torch.equal(value, before[name])


def test_momentum_zero_copies_to_the_last_bit() -> None:
    online = Net()
    target = EMATarget(online, 0.0)
    change(online)
    target.update(0)
    for name, value in target.encoder.state_dict().items():
        assert torch.equal(value, online.state_dict()[name])


def test_k_steps_towards_resting_weights_are_a_power_of_the_momentum() -> None:
    online = Net()
    target = EMATarget(online, 0.9)
    start = floats(target.encoder)
    change(online)
    for step in range(7):
        target.update(step)
    for name, value in floats(target.encoder).items():
        torch.testing.assert_close(value, 0.9**7 * start[name] + (1 - 0.9**7) * online.state_dict()[name])


def test_moving_weights_are_averaged_with_the_momentum_of_each_step() -> None:
    online = Net()
    schedule = linear_momentum(0.5, 1.0, 4)
    target = EMATarget(online, schedule)
    expected = floats(target.encoder)
    for step in range(6):
        change(online)
        target.update(step)
        m = min(0.5 + 0.5 * step / 4, 1.0)
        expected = {name: m * value + (1 - m) * online.state_dict()[name] for name, value in expected.items()}
    torch.testing.assert_close(floats(target.encoder), expected)


def test_batch_norm_statistics_are_averaged_and_counters_copied() -> None:
    online = Net()
    target = EMATarget(online, 0.75)
    online(view())
    target.update(0)
    averaged = target.encoder.norm
    torch.testing.assert_close(averaged.running_mean, 0.25 * online.norm.running_mean)
    torch.testing.assert_close(averaged.running_var, 0.75 + 0.25 * online.norm.running_var)
    assert averaged.num_batches_tracked == online.norm.num_batches_tracked == 1


def test_own_statistics_are_those_of_the_batch_and_do_not_follow() -> None:
    online = Net()
    target = EMATarget(online, 0.5, own_statistics=True)
    before = floats(target.encoder)
    change(online)
    target.update(0)
    for name, value in floats(target.encoder).items():
        follows = not name.startswith("norm.running")
        expected = (before[name] + online.state_dict()[name]) / 2 if follows else before[name]
        torch.testing.assert_close(value, expected)
    x = view(64)
    target.train()
    z = target(x) - target.encoder.empty
    weight, bias = target.encoder.norm.weight, target.encoder.norm.bias
    torch.testing.assert_close(z.mean((0, 1, 2)), bias, atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std((0, 1, 2), correction=0), weight.abs(), atol=1e-3, rtol=0)  # nor any dropout
    assert not torch.equal(target.encoder.norm.running_mean, before["norm.running_mean"])
    assert torch.equal(target.eval()(x), target(x))
    assert not torch.allclose(target(x) - target.encoder.empty, z)


def test_tied_parameters_are_copied() -> None:
    online = Net()
    target = EMATarget(online, 0.9, tie=("empty",))
    change(online)
    target.update(0)
    assert torch.equal(target.encoder.empty, online.empty)
    assert not torch.allclose(target.encoder.linear.weight, online.linear.weight)


def test_it_stays_in_eval_mode() -> None:
    parent = nn.ModuleDict({"target": EMATarget(Net())})
    parent.train()
    assert not any(module.training for module in parent["target"].encoder.modules())
    data = view()
    assert torch.equal(parent["target"](data), parent["target"](data))


def test_no_gradient_reaches_it_or_passes_through_it() -> None:
    online = Net()
    target = EMATarget(online)
    data = view()
    data["x"].requires_grad_()
    assert not target(data).requires_grad
    assert not any(p.requires_grad for p in target.parameters())
    assert all(p.requires_grad for p in online.parameters())


def test_the_online_encoder_is_not_saved_twice() -> None:
    names = set(EMATarget(Net()).state_dict())
    assert names == {f"encoder.{name}" for name in Net().state_dict()}


def test_a_restricted_encoder_is_followed() -> None:
    """The target holds the state's weights only, and moves with those that the whole encoder trains."""
    learner = toy_learner(IMAGES)
    encoder, target = learner.model.encoder, learner.model.target
    assert not any("images" in name for name in target.state_dict())
    before = floats(target.encoder)
    train(learner, [toy_batch(images=True)] * 2, lr=1e-2)
    moved = floats(target.encoder)
    assert set(moved) < set(encoder.state_dict())
    assert all(not torch.equal(moved[name], before[name]) for name in moved)
    target.momentum = 0.0
    target.update(0)
    for name, value in target.encoder.state_dict().items():
        assert torch.equal(value, encoder.state_dict()[name])


@pytest.mark.parametrize("config", [TINY, IMAGES], ids=["states", "images"])
def test_a_copied_learners_target_follows_the_copys_encoder(config) -> None:
    """What averaged weights and best-so-far copies rely on."""
    learner = toy_learner(config)
    twin = copy.deepcopy(learner)
    frozen = {name: value.clone() for name, value in learner.state_dict().items()}
    change(twin.model.encoder)
    twin.model.target.momentum = 0.0
    twin.update_target(0)
    followed = twin.model.encoder.state_dict()
    for name, value in twin.model.target.encoder.state_dict().items():
        assert torch.equal(value, followed[name])
    for name, value in learner.state_dict().items():
        assert torch.equal(value, frozen[name])


def test_a_converted_learners_target_still_follows() -> None:
    learner = toy_learner(IMAGES).double()
    change(learner.model.encoder)
    learner.model.target.momentum = 0.0
    learner.update_target(0)
    followed = learner.model.encoder.state_dict()
    for name, value in learner.model.target.encoder.state_dict().items():
        assert value.dtype != torch.float32
        assert torch.equal(value, followed[name])


def test_a_loaded_learners_target_still_follows() -> None:
    learner, other = toy_learner(IMAGES), toy_learner(IMAGES, seed=1)
    learner.load_state_dict(other.state_dict())
    learner.model.target.momentum = 0.0
    learner.update_target(0)
    followed = other.model.encoder.state_dict()
    for name, value in learner.model.target.encoder.state_dict().items():
        assert torch.equal(value, followed[name])


def test_shared_lets_gradients_through_and_stop_gradient_does_not() -> None:
    online = Net().eval()
    data = view()
    assert torch.equal(Shared(online)(data), online(data))
    assert torch.equal(StopGradient(online)(data), online(data))
    Shared(online)(data).square().sum().backward()
    assert online.linear.weight.grad.abs().sum() > 0
    assert not StopGradient(online)(data).requires_grad


@pytest.mark.parametrize("kind", [Shared, StopGradient])
def test_targets_that_are_the_online_encoder_own_no_weights(kind) -> None:
    target = kind(Net())
    assert not target.state_dict()
    target.update(0)


def test_fixed_features_stay_frozen_and_in_eval_mode() -> None:
    net = Net()
    target = Fixed(net)
    before = floats(target)
    target.train()
    assert not net.training
    assert not target(view()).requires_grad
    assert not any(p.requires_grad for p in target.parameters())
    target.update(0)
    torch.testing.assert_close(floats(target), before, rtol=0, atol=0)


def test_a_function_can_be_a_fixed_target() -> None:
    data = view()
    raw = Fixed(lambda v: v["x"][:, None, None])
    assert torch.equal(raw(data)[:, 0, 0], data["x"])


def test_the_momentum_rises_linearly_and_stays() -> None:
    schedule = linear_momentum(0.996, 1.0, 4000)
    assert [schedule(s) for s in (0, 4000, 9999)] == [0.996, 1.0, 1.0]
    assert schedule(1000) == pytest.approx(0.997)


@pytest.mark.parametrize("rise", [linear_momentum, cosine_momentum])
def test_a_momentum_whose_steps_are_not_known_can_only_rest(rise) -> None:
    with pytest.raises(ValueError, match="set momentum_steps"):
        rise(0.9, 1.0, None)(0)
    assert [rise(0.9, 0.9, None)(step) for step in (0, 7)] == [0.9, 0.9]


def test_the_momentum_rises_along_a_cosine_and_stays() -> None:
    schedule = cosine_momentum(0.996, 1.0, 400)
    assert [schedule(s) for s in (0, 400, 999)] == [0.996, 1.0, 1.0]
    for step in (100, 200, 399):  # as released: 1 - (1 - base) (cos(pi step / steps) + 1) / 2
        assert schedule(step) == pytest.approx(1 - 0.004 * (math.cos(math.pi * step / 400) + 1) / 2, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EMATarget(Net(), 1.1), "must lie in"),
        (lambda: EMATarget(Net(), -0.1), "must lie in"),
        (lambda: EMATarget(Net(), tie=("emtpy",)), "cannot tie"),
        (lambda: linear_momentum(0.9, 1.5, 10), "must lie in"),
        (lambda: linear_momentum(0.9, 1.0, 0), "at least 1 step"),
        (lambda: cosine_momentum(0.9, 1.5, None), "must lie in"),
    ],
)
def test_impossible_averages_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
