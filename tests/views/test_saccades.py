"""Patches around fixations: content, saccades, inhibition of return, and that fixations follow the map."""

import math

import pytest
import torch
from tensordict import TensorDict

from worldjepa.views.saccades import SaccadeViews, cut_patches, fixations


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(num: int, rows: int = 24, columns: int = 30, *, dtype: torch.dtype = torch.uint8) -> TensorDict:
    generator = seeded(rows)
    image = torch.randint(0, 256, (num, 1, rows, columns, 3), generator=generator, dtype=torch.uint8)
    saliency = torch.randint(0, 256, (num, 1, rows, columns, 1), generator=generator).to(dtype)
    obs = TensorDict({"image": image, "saliency": saliency}, [num])
    return TensorDict({"obs": obs, "valid": torch.ones(num, 1, dtype=torch.bool)}, [num])


def test_patches_are_slices_around_the_centres_black_outside():
    image = batch(3)["obs", "image"][:, 0]
    centres = torch.tensor([[[0, 0], [12, 15]], [[23, 29], [5, 28]], [[4, 4], [3, 20]]])
    made = cut_patches(image, centres, 8)
    for row in range(3):
        for view in range(2):
            i, j = centres[row, view].tolist()
            for a in range(8):
                for b in range(8):
                    r, c = i - 4 + a, j - 4 + b
                    inside = 0 <= r < 24 and 0 <= c < 30
                    expected = image[row, r, c] if inside else torch.zeros(3, dtype=torch.uint8)
                    assert torch.equal(made[row, view, a, b], expected)


def test_a_sequence_is_of_patches_and_of_the_ways_between_their_centres():
    views = SaccadeViews("image", observed=3, patch=8)
    data = batch(5)
    found, made = views(data, seeded()), views.views_of(data, 4, seeded())
    centres = (made["parameters"] * torch.tensor([24, 30])).round().long()
    patches = cut_patches(data["obs", "image"][:, 0], centres, 8)
    torch.testing.assert_close(found.context["image"], patches[:, :3], rtol=0, atol=0)
    torch.testing.assert_close(found.target["image"], patches[:, 3:], rtol=0, atol=0)
    assert found.target["valid"].all()
    for i in range(3):
        way = (centres[:, i + 1] - centres[:, i]) / torch.tensor([24.0, 30.0])
        torch.testing.assert_close(found.query["action"][:, i], way)
    assert found.query["action"].shape == (5, 3, SaccadeViews.action_dim)


@pytest.mark.parametrize("inhibition", ["circle", "square"])
def test_no_fixation_returns(inhibition):
    saliency = torch.zeros(200, 24, 30)
    saliency[:, 10:14, 12:16] = 1  # once looked at, nothing of it is left
    saliency[:, 0, 0] = 0.01
    centres = fixations(saliency, 4, inhibition, 6.0, seeded())
    for a in range(4):
        for b in range(a):
            apart = (centres[:, a] - centres[:, b]).abs().float()
            distance = apart.norm(dim=1) if inhibition == "circle" else apart.amax(1)
            assert (distance > 6).all()
    assert ((centres[:, 0] - 12).abs() < 4).all(1).float().mean() > 0.9
    corner = (centres == 0).all(2).any(1)
    assert corner.all(), "what is left of the map goes first, before what the map calls impossible"


def test_the_square_is_larger_than_the_circle():
    saliency = torch.zeros(400, 9, 9)
    saliency[:, 4, 4] = 1e6
    corner = torch.zeros(9, 9, dtype=torch.bool)
    corner[1, 1] = corner[7, 7] = True
    saliency[:, corner] = 1.0
    circle = fixations(saliency, 2, "circle", 3.0, seeded())[:, 1]
    square = fixations(saliency, 2, "square", 3.0, seeded())[:, 1]
    assert corner[circle[:, 0], circle[:, 1]].all()
    assert not corner[square[:, 0], square[:, 1]].any()


def test_without_inhibition_a_peak_is_looked_at_again():
    saliency = torch.zeros(20, 9, 9)
    saliency[:, 4, 4] = 1.0
    centres = fixations(saliency, 3, None, 3.0, seeded())
    assert (centres == 4).all()


def test_where_all_is_inhibited_anything_goes():
    centres = fixations(torch.ones(50, 4, 4), 3, "circle", 10.0, seeded())
    assert len(centres[:, 2].unique(dim=0)) > 10


def _chi_square(centres: torch.Tensor, probability: torch.Tensor) -> float:
    flat = centres[:, 0] * probability.shape[1] + centres[:, 1]
    counts = torch.bincount(flat, minlength=probability.numel()).double()
    expected = probability.flatten().double() * len(centres)
    assert (counts[expected == 0] == 0).all()
    counts, expected = counts[expected > 0], expected[expected > 0]
    return float(((counts - expected) ** 2 / expected).sum())


def test_fixations_follow_the_map():
    saliency = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 6.0]])
    centres = fixations(saliency.expand(20_000, 2, 3), 2, "circle", 1.0, seeded())
    assert _chi_square(centres[:, 0], saliency / 12) < 16.3  # 3 degrees of freedom, p = 0.001
    after = centres[(centres[:, 0] == torch.tensor([1, 0])).all(1), 1]  # pixel (1, 0): it and (0, 0) are inhibited
    left = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 6.0]])
    assert _chi_square(after, left / 9) < 13.9  # 2 degrees of freedom


def test_uniform_fixations_ignore_the_map():
    data = batch(1, 6, 8)
    data["obs", "saliency"][:] = 0
    data["obs", "saliency"][:, :, 0, 0] = 255
    data = torch.cat([data] * 4800)
    views = SaccadeViews("image", saliency=None, patch=2)
    parameters = views.views_of(data, 1, seeded())["parameters"][:, 0]
    centres = (parameters * torch.tensor([6, 8])).round().long()
    assert _chi_square(centres, torch.full((6, 8), 1 / 48)) < 82.7  # 47 degrees of freedom, p = 0.001


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_maps_may_be_bytes_or_floats(dtype):
    data = batch(3, dtype=dtype)
    if dtype == torch.float32:
        data["obs", "saliency"] = data["obs", "saliency"][..., 0] / 7
    made = SaccadeViews("image", patch=8).views_of(data, 3, seeded())
    expected = SaccadeViews("image", patch=8).views_of(batch(3), 3, seeded())
    torch.testing.assert_close(made["parameters"], expected["parameters"])


def test_an_empty_map_is_a_uniform_one():
    data = batch(4)
    data["obs", "saliency"][:] = 0
    made = SaccadeViews("image", patch=8).views_of(data, 3, seeded())
    expected = SaccadeViews("image", saliency=None, patch=8).views_of(data, 3, seeded())
    torch.testing.assert_close(made, expected, rtol=0, atol=0)


def test_views_depend_on_the_generator_only():
    views = SaccadeViews("image", patch=8)
    one, two, other = (views.views_of(batch(3), 3, seeded(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(one["parameters"], other["parameters"])


def test_the_radius_is_half_a_patch():
    data = batch(300)
    centres = SaccadeViews("image", patch=20).views_of(data, 2, seeded())["parameters"] * torch.tensor([24, 30])
    distance = (centres[:, 1] - centres[:, 0]).norm(dim=1)
    assert 10 < distance.min() <= math.sqrt(104)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observed": 0}, "at least one observed"),
        ({"patch": 7}, "an even size"),
        ({"inhibition": "disc"}, 'expected inhibition "circle", "square" or None'),
        ({"radius": -1.0}, "a radius of at least 0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SaccadeViews("image", **options)


def test_maps_must_fit():
    data = batch(2)
    with pytest.raises(ValueError, match=r"no saliency map 'gaze', only \['image', 'saliency'\]"):
        SaccadeViews("image", saliency="gaze")(data, seeded())
    with pytest.raises(ValueError, match=r"to be uint8 images .* got nothing"):
        SaccadeViews("picture")(data, seeded())
    data["obs", "saliency"] = torch.full((2, 1, 24, 30), -1.0)
    with pytest.raises(ValueError, match="negative or not finite"):
        SaccadeViews("image")(data, seeded())
    data["obs", "saliency"] = torch.ones(2, 1, 12, 15)
    with pytest.raises(ValueError, match=r"map of \[2, 24, 30\], as the images, got \[2, 12, 15\]"):
        SaccadeViews("image")(data, seeded())
