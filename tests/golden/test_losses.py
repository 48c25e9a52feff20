"""Losses of small learners at a fixed seed, to six digits: what moves one of them has changed the mathematics.

In double precision, so that rounding differs between machines in digits that are not compared. After a change that is
meant to move them copy the new numbers from the failure, and say in the message of the change why they moved.
"""

from dataclasses import replace

import pytest
from toys import IMAGES, TINY, toy_batch, toy_learner, train

GOLDEN = {
    "states": {
        "action_l1": [0.9445595, 1.016747, 1.079302, 1.188094, 0.9725764],
        "latent_l1": [0.9853947, 0.9594413, 0.8899761, 0.8645035, 0.8975084],
    },
    "told actions, l2": {
        "action_l1": [0.9445595, 1.017997, 1.07945, 1.189594, 0.9788238],
        "latent_l2": [1.442221, 1.29451, 1.342216, 1.321528, 1.199221],
    },
    "camera predicted": {
        "action_l1": [0.9375095, 1.077899, 1.045812, 1.189995, 0.9949083],
        "latent_l1": [1.059185, 1.005365, 0.9533145, 0.9271368, 0.866575],
    },
}
CONFIGS = {
    "states": TINY,
    "told actions, l2": replace(TINY, action_conditioned=True, distance="l2", horizon=4, stride=2),
    "camera predicted": replace(IMAGES, target_keys=("image", "block"), norm="pre"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_losses_of_five_steps(name) -> None:
    learner = toy_learner(CONFIGS[name]).double()
    rows = train(learner, [toy_batch(images=True, seed=step) for step in range(5)], lr=3e-3)
    for key, expected in GOLDEN[name].items():
        assert [row[key] for row in rows] == pytest.approx(expected, rel=1e-6), key
