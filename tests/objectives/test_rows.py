"""Which latents a regulariser looks at: every real vector once, in the group of its step or sequence."""

import pytest
import torch
from tensordict import TensorDict

from worldjepa.objectives.rows import frame_valid, grouped, latents_of
from worldjepa.types import Prediction

Z = torch.arange(3 * 4 * 2).float().view(3, 4, 2, 1)  # a number for each token of each frame of each window
KEEP = torch.ones(3, 4, 2, dtype=torch.bool)
KEEP[1, 2:], KEEP[2, 0, 1] = False, False


@pytest.mark.parametrize(("by", "groups"), [("all", 1), ("step", 4), ("sequence", 6)])
def test_every_real_vector_is_in_one_group(by, groups) -> None:
    found = grouped(Z, KEEP, by)
    assert len(found.rows) == groups
    assert found.shared == (by != "sequence")
    torch.testing.assert_close(found.rows[found.keep].flatten().sort().values, Z[KEEP].flatten())
    assert not found.rows[~found.keep].any()


def test_a_group_holds_a_step_or_a_tokens_sequence() -> None:
    steps, sequences = grouped(Z, KEEP, "step"), grouped(Z, KEEP, "sequence")
    torch.testing.assert_close(steps.rows[2][steps.keep[2]], Z[:, 2][KEEP[:, 2]])
    torch.testing.assert_close(sequences.rows[3][sequences.keep[3]], Z[1, :, 1][KEEP[1, :, 1]])


def test_tokens_as_features_make_one_vector_of_a_frame_if_all_are_real() -> None:
    found = grouped(Z, KEEP, "step", "features")
    assert found.rows.shape == (4, 3, 2)
    torch.testing.assert_close(found.rows[1, 0], torch.tensor([2.0, 3.0]))
    assert found.keep.T.tolist() == [[True] * 4, [True, True, False, False], [False, True, True, True]]


def test_latents_come_with_what_says_they_are_real() -> None:
    weight = KEEP * 0.5
    prediction = Prediction(Z, Z + 1, Z + 2, weight)
    batch = TensorDict({"valid": torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [False] + [True] * 4])}, [3])
    z, keep = latents_of(prediction, batch, "context")
    assert torch.equal(z, Z)
    assert torch.equal(keep, batch["valid"][:, :4, None].expand(3, 4, 2))
    for of, shift in (("target", 1), ("predicted", 2)):
        z, keep = latents_of(prediction, batch, of)  # pyright: ignore[reportArgumentType]
        assert torch.equal(z, Z + shift)
        assert torch.equal(keep, KEEP)
    nothing = TensorDict({}, batch_size=[3])
    assert latents_of(prediction, nothing, "context")[1].all()
    assert frame_valid(nothing, 4) is None
    with pytest.raises(ValueError, match="6 frames, batch\\['valid'\\] only 5"):
        frame_valid(batch, 6)
