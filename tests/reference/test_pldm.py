"""The preset `pldm` against EB-JEPA as released (facebookresearch/eb_jepa: JEPA.unroll, VC_IDM_Sim_Regularizer,
RNNPredictor, examples/ac_video_jepa), written plainly, on the latents that our encoder gives.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tensordict import TensorDict
from torch import Tensor
from toys import ToyStatistics

from worldjepa.learner import Learner
from worldjepa.objectives import InverseDynamics
from worldjepa.recipes import make_learner
from worldjepa.recipes.ac_jepa import pldm
from worldjepa.types import DataSpec, ObsSpec

DIM, FRAMES, STEPS = 12, 17, 8
SPEC = DataSpec({"image": ObsSpec((16, 16, 3), "uint8")}, 2)
PLAIN = {"action": ToyStatistics(np.zeros(2), np.ones(2), -np.ones(2), np.ones(2))}


def make(**changes) -> Learner:
    torch.manual_seed(0)
    return make_learner("ac_jepa", replace(pldm(), dim=DIM, trunk_width=4, **changes), SPEC, PLAIN)


def windows(rows: int = 6) -> TensorDict:
    image = torch.randint(0, 256, (rows, FRAMES, 16, 16, 3), dtype=torch.uint8)
    valid = {"valid": torch.ones(rows, FRAMES).bool(), "action_valid": torch.ones(rows, FRAMES - 1).bool()}
    obs = TensorDict({"image": image}, batch_size=[rows])
    return TensorDict({"obs": obs, "action": torch.randn(rows, FRAMES - 1, 2), **valid}, batch_size=[rows])


def released_loss(state: Tensor, action: Tensor, learner: Learner) -> dict[str, Tensor]:
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
    inverse = learner.objective.term(InverseDynamics).net(torch.cat([flat[:, :-1], flat[:, 1:]], dim=-1))
    idm = F.mse_loss(inverse, action.transpose(1, 2))
    w = {k.removeprefix("model.predictor."): v for k, v in learner.state_dict().items() if "model.predictor." in k}
    predicted, rollout = flat[:, 0], torch.zeros(())
    for step in range(STEPS):
        gates_x = action[:, :, step] @ w["cell.weight_ih"].T + w["cell.bias_ih"]
        gates_h = predicted @ w["cell.weight_hh"].T + w["cell.bias_hh"]
        (r_x, u_x, n_x), (r_h, u_h, n_h) = gates_x.chunk(3, -1), gates_h.chunk(3, -1)
        update = torch.sigmoid(u_x + u_h)
        new = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
        predicted = (1 - update) * new + update * predicted
        predicted = F.layer_norm(predicted, predicted.shape[1:], w["norm.weight"], w["norm.bias"])
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


@pytest.mark.parametrize(("changes", "cells"), [({}, 1), ({"tokens": "map"}, 16)])
def test_every_term_and_the_loss_are_the_released_ones(changes: dict, cells: int) -> None:
    """With one vector a frame, as released, and with a map, all cells of which are one vector to every term."""
    learner, batch = make(**changes), windows()
    z = learner.model.encode(learner.normalizer.observations(batch["obs"])).detach()
    assert z.shape[2] == cells
    side = int(cells**0.5)
    state = z.permute(0, 3, 1, 2).unflatten(3, (side, side))
    with torch.no_grad():
        expected = released_loss(state, batch["action"].transpose(1, 2), learner)
    losses = learner(batch)
    assert set(losses) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: name + text)


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
    released_loss(state, batch["action"].transpose(1, 2), learner)["loss"].backward()
    assert z.grad is not None
    assert state.grad is not None
    torch.testing.assert_close(z.grad, state.grad[..., 0].permute(0, 2, 3, 1), rtol=1e-3, atol=1e-6)


def test_the_window_is_a_clip_of_seventeen_frames() -> None:
    learner = make()
    assert learner.model.views.history + learner.model.views.horizon == FRAMES  # pyright: ignore[reportAttributeAccessIssue]
