"""The preset `pldm` against EB-JEPA as released (facebookresearch/eb_jepa: ImpalaEncoder, JEPA.unroll,
VC_IDM_Sim_Regularizer, RNNPredictor, InverseDynamicsModel, examples/ac_video_jepa), written plainly, on copied weights.
"""

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor, nn
from toys import ToyStatistics

from worldjepa.learner import Learner
from worldjepa.recipes import make_learner
from worldjepa.recipes.ac_jepa import pldm
from worldjepa.types import DataSpec, ObsSpec

DIM, FRAMES, STEPS, SIDE = 12, 17, 8, 17
SPEC = DataSpec({"image": ObsSpec((SIDE, SIDE, 2), "uint8")}, 2)
PLAIN = {"action": ToyStatistics(np.zeros(2), np.ones(2), -np.ones(2), np.ones(2))}


def make(**changes) -> Learner:
    torch.manual_seed(0)
    return make_learner("ac_jepa", replace(pldm(), dim=DIM, trunk_width=4, **changes), SPEC, PLAIN)


def windows(rows: int = 6) -> TensorDict:
    image = torch.randint(0, 256, (rows, FRAMES, SIDE, SIDE, 2), dtype=torch.uint8)
    valid = {"valid": torch.ones(rows, FRAMES).bool(), "action_valid": torch.ones(rows, FRAMES - 1).bool()}
    obs = TensorDict({"image": image}, batch_size=[rows])
    return TensorDict({"obs": obs, "action": torch.randn(rows, FRAMES - 1, 2), **valid}, batch_size=[rows])


def our_weights(learner: Learner) -> dict[str, nn.Parameter]:
    """Ours under the released names; what the released code shares stands there once."""
    names = {"encoder.mlp": "encoder.project", "final_ln": "encoder.norm"}
    for stage in range(3):
        ours, theirs = f"encoder.trunks.image.stages.{stage}", f"encoder.stack_blocks.{stage}"
        names[f"{theirs}.initial_conv"] = f"{ours}.0"
        for block, conv in itertools.product(range(2), ("conv1", "conv2")):
            names[f"{theirs}.blocks.{block}.{conv}"] = f"{ours}.{block + 2}.{conv}"
    names = {f"{theirs}.{x}": f"model.{ours}.{x}" for theirs, ours in names.items() for x in ("weight", "bias")}
    cell = itertools.product(("weight", "bias"), ("ih", "hh"))
    names |= {f"predictor.rnn.{x}_{y}_l0": f"model.predictor.cell.{x}_{y}" for x, y in cell}
    layers = itertools.product((0, 2, 4), ("weight", "bias"))
    names |= {f"idm.model.{n}.{x}": f"objective.terms.2.net.{n}.{x}" for n, x in layers}
    ours = dict(learner.named_parameters())
    assert set(names.values()) == set(ours)  # nothing else is learned
    return {theirs: ours[name] for theirs, name in names.items()}


def copies(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone().requires_grad_() for name, value in weights.items()}


def released_state(pixels: Tensor, w: Mapping[str, Tensor]) -> Tensor:
    """pixels [B, C, T, H, W] -> [B, D, T, 1, 1], frame by frame."""

    def conv(x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)

    features = []
    for x in pixels.unbind(2):
        for stack in (f"encoder.stack_blocks.{i}" for i in range(3)):
            x = F.max_pool2d(conv(x, f"{stack}.initial_conv"), kernel_size=3, stride=2, padding=1)
            for block in (f"{stack}.blocks.{i}" for i in range(2)):
                x = F.relu(x + conv(F.relu(conv(x, f"{block}.conv1")), f"{block}.conv2"))
        x = F.relu(x).flatten(1) @ w["encoder.mlp.weight"].T + w["encoder.mlp.bias"]
        features.append(F.layer_norm(x, x.shape[1:], w["final_ln.weight"], w["final_ln.bias"]))
    return torch.stack(features, 2)[..., None, None]


def released_loss(state: Tensor, action: Tensor, w: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """state [B, C, T, H, W], action [B, A, T - 1]: weighted sum and parts."""
    samples = state.permute(0, 2, 1, 3, 4).flatten(0, 1).flatten(1)  # [B * T, C * H * W]
    centred = samples - samples.mean(0)
    std = F.relu(1 - torch.sqrt(centred.var(0) + 0.0001)).mean()
    covariance = centred.T @ centred / (len(samples) - 1)
    size = len(covariance)
    off_diagonal = covariance.flatten()[:-1].view(size - 1, size + 1)[:, 1:].flatten()
    frames = state.permute(2, 0, 1, 3, 4).flatten(2)  # [T, B, C * H * W]
    similarity = (frames[1:] - frames[:-1]).pow(2).mean()
    # Our latents have their cells first: what is flattened is the same up to order, which inverse model and GRU know.
    flat = state.flatten(3).permute(0, 2, 3, 1).flatten(2)  # [B, T, cells * C]
    x = torch.cat([flat[:, :-1], flat[:, 1:]], dim=-1)
    for n in (0, 2, 4):
        x = (F.relu(x) if n else x) @ w[f"idm.model.{n}.weight"].T + w[f"idm.model.{n}.bias"]
    idm = F.mse_loss(x, action.transpose(1, 2))
    rnn = {name: w[f"predictor.rnn.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    predicted, rollout = flat[:, 0], torch.zeros((), dtype=state.dtype)
    for step in range(STEPS):
        gates_x = action[:, :, step] @ rnn["weight_ih"].T + rnn["bias_ih"]
        gates_h = predicted @ rnn["weight_hh"].T + rnn["bias_hh"]
        (r_x, u_x, n_x), (r_h, u_h, n_h) = gates_x.chunk(3, -1), gates_h.chunk(3, -1)
        update = torch.sigmoid(u_x + u_h)
        new = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
        predicted = (1 - update) * new + update * predicted
        predicted = F.layer_norm(predicted, predicted.shape[1:], w["final_ln.weight"], w["final_ln.bias"])
        rollout = rollout + F.mse_loss(predicted, flat[:, step + 1]) / STEPS
    parts = {
        "open_loop": rollout,
        "covariance": off_diagonal.pow(2).mean(),
        "variance": std,
        "time_similarity": similarity,
        "inverse": idm,
    }
    regularisers = 8 * parts["covariance"] + 16 * std + 12 * similarity + 1 * idm
    return parts | {"loss": regularisers + rollout}


def close(ours: Tensor, theirs: Tensor, name: str) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5, msg=lambda text: f"{name}: {text}")


def test_latents_losses_and_gradients_are_the_released_ones() -> None:
    """From pixels to the gradient of every weight; in float64, lest the tolerance hide a difference."""
    learner, batch = make().double(), windows()
    batch["action"] = batch["action"].double()
    ours = our_weights(learner)
    w, action = copies(ours), batch["action"].transpose(1, 2)
    state = released_state(batch["obs", "image"].permute(0, 4, 1, 2, 3).double() / 255, w)
    z = learner.encode(batch["obs"])
    close(z, state.flatten(2).transpose(1, 2)[:, :, None], "latents")
    assert z.detach().std(dim=(0, 1)).min() > 0.01
    expected, losses = released_loss(state, action, w), learner(batch)
    assert set(losses) == set(expected)
    for name, value in expected.items():
        close(losses[name], value, name)
    losses["loss"].backward()
    expected["loss"].backward()
    for name, value in w.items():
        gradient = ours[name].grad
        assert gradient is not None
        assert value.grad is not None
        assert value.grad.abs().max() > 1e-3, name
        close(gradient, value.grad, name)


def test_a_map_is_one_vector_to_every_term() -> None:
    """All cells of a frame together, as the released terms take maps. Norms differ in width then and cannot be one."""
    learner, batch = make(tokens="map", shared_norm=False), windows()
    z = learner.model.encode(learner.normalizer.observations(batch["obs"])).detach()
    assert z.shape[2] == 9
    state = z.permute(0, 3, 1, 2).unflatten(3, (3, 3))
    w = {}
    for name, value in learner.named_parameters():
        name = name.replace("model.predictor.norm", "final_ln").replace("objective.terms.2.net", "idm.model")
        w[f"{name}_l0".replace("model.predictor.cell", "predictor.rnn") if ".cell." in name else name] = value
    with torch.no_grad():
        expected, losses = released_loss(state, batch["action"].transpose(1, 2), w), learner(batch)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: name + text)


def test_the_sizes_are_the_released_ones() -> None:
    """Two channels of 65 px, stages of 16, 32 and 32, 9 x 9 cells into 512, a GRU of 512, an inverse model of 256."""
    spec = DataSpec({"image": ObsSpec((65, 65, 2), "uint8")}, 2)
    learner = make_learner("ac_jepa", pldm(), spec, PLAIN)
    shapes = {name: tuple(value.shape) for name, value in our_weights(learner).items()}
    widths = (2, 16, 32, 32)
    expected: dict[str, tuple[int, ...]] = {"encoder.mlp": (512, 32 * 9 * 9), "idm.model.0": (256, 1024)}
    expected |= {"idm.model.2": (256, 256), "idm.model.4": (2, 256)}
    for stage, (i, o) in enumerate(itertools.pairwise(widths)):
        stack = f"encoder.stack_blocks.{stage}"
        expected[f"{stack}.initial_conv"] = (o, i, 3, 3)
        for block, conv in itertools.product(range(2), ("conv1", "conv2")):
            expected[f"{stack}.blocks.{block}.{conv}"] = (o, o, 3, 3)
    expected = {f"{k}.weight": v for k, v in expected.items()} | {f"{k}.bias": v[:1] for k, v in expected.items()}
    expected |= {"final_ln.weight": (512,), "final_ln.bias": (512,)}
    expected |= {f"predictor.rnn.weight_{k}_l0": (1536, n) for k, n in (("ih", 2), ("hh", 512))}
    expected |= {f"predictor.rnn.bias_{k}_l0": (1536,) for k in ("ih", "hh")}
    assert shapes == expected


def test_the_gradient_reaches_the_targets_and_every_frame() -> None:
    learner, batch = make(), windows()
    seen: list[Tensor] = []
    encode = learner.model.encoder.forward

    def remember(view: TensorDict) -> Tensor:
        seen.append(encode(view).detach().requires_grad_())
        return seen[-1]

    learner.model.encoder.forward = remember  # pyright: ignore[reportAttributeAccessIssue]
    learner(batch)["loss"].backward()
    (z,) = seen
    state = z.detach().permute(0, 3, 1, 2)[..., None].requires_grad_()
    released_loss(state, batch["action"].transpose(1, 2), our_weights(learner))["loss"].backward()
    assert z.grad is not None
    assert state.grad is not None
    torch.testing.assert_close(z.grad, state.grad[..., 0].permute(0, 2, 3, 1), rtol=1e-3, atol=1e-6)


def test_the_window_is_a_clip_of_seventeen_frames() -> None:
    learner = make()
    assert learner.model.views.history + learner.model.views.horizon == FRAMES  # pyright: ignore[reportAttributeAccessIssue]
