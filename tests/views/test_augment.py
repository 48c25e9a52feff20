"""Augmented views: their parameters say what was done; what is off leaves the image; laws, seeds, sequences."""

import math
import random
from dataclasses import replace

import pytest
import torch
from tensordict import TensorDict

from worldjepa.views.augment import NOTHING, PARAMETERS, Augmentation, AugmentedViews, Drawn, apply, draw
from worldjepa.views.pixels import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    gaussian_blur,
    luminance,
)

OFF = Augmentation(crop=False, flip=0, jitter=0, grey=0, blur=(0, 0), solarize=(0, 0))


def images(num: int, rows: int = 16, columns: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.randint(0, 256, (num, rows, columns, 3), generator=generator, dtype=torch.uint8)


def batch(num: int, rows: int = 16, columns: int = 16) -> TensorDict:
    obs = TensorDict({"image": images(num, rows, columns)[:, None]}, [num])
    return TensorDict({"obs": obs, "valid": torch.ones(num, 1, dtype=torch.bool)}, [num])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_with_everything_off_the_views_are_the_image():
    made = AugmentedViews("image", augmentation=OFF).views_of(batch(3), 4, seeded())
    torch.testing.assert_close(made["obs", "image"], images(3)[:, None].expand(-1, 4, -1, -1, -1), rtol=0, atol=0)
    torch.testing.assert_close(made["parameters"], torch.tensor(NOTHING).expand(3, 4, -1), rtol=0, atol=0)


def test_parameters_that_say_nothing_give_the_image_back():
    """The same operations as when everything is on, but with neutral parameters."""
    image = images(2)
    false = torch.zeros(2, 3, dtype=torch.bool)
    box = torch.tensor([0, 0, 16, 16]).expand(2, 3, 4)
    drawn = Drawn(box, torch.tensor(NOTHING).expand(2, 3, 9), false, false, false, 1)
    made = apply(Augmentation(), image, drawn)
    torch.testing.assert_close(made, image[:, None].expand_as(made), rtol=0, atol=0)


def test_parameters_say_what_was_done():
    """Every view again, one at a time, from the parameters and the three decisions that are not among them."""
    image, law = images(4, 20, 16), Augmentation(blur=(0.7, 0.7), solarize=(0.4, 0.4), kernel=5)
    drawn = draw(law, image, 5, 1, seeded())
    made = apply(law, image, drawn)
    for row in range(4):
        for view in range(5):
            top, left, height, width, brightness, contrast, saturation, hue, sigma = drawn.parameters[row, view]
            i, h = (round(20 * x.item()) for x in (top, height))
            j, w = (round(16 * x.item()) for x in (left, width))
            x = image[row : row + 1, i : i + h, j : j + w].permute(0, 3, 1, 2) / 255
            x = torch.nn.functional.interpolate(x, (20, 16), mode="bicubic", antialias=True).clamp(0, 1)
            x = x.flip(3) if drawn.flip[row, view] else x
            x = adjust_contrast(adjust_brightness(x, brightness[None]), contrast[None])
            x = adjust_hue(adjust_saturation(x, saturation[None]), hue[None])
            x = luminance(x).expand(-1, 3, -1, -1) if drawn.grey[row, view] else x
            x = gaussian_blur(x, sigma[None], 5)
            x = torch.where(x >= 128 / 255, 1 - x, x) if drawn.solarize[row, view] else x
            expected = (255 * x[0]).permute(1, 2, 0)
            same = (made[row, view] - expected).abs() <= 0.51
            assert same.float().mean() > 0.999  # a value at the threshold of solarisation may fall on either side


def _area(rng: random.Random) -> float:
    """Share of a random resized crop of 32 x 32 pixels, drawn as torchvision draws it."""
    while True:
        area, ratio = 32 * 32 * rng.uniform(0.2, 1.0), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if width <= 32 and height <= 32:
            return width * height / 32**2


def test_parameters_follow_their_law():
    law = Augmentation()
    drawn = draw(law, images(2000, 32, 32), 4, 1, seeded())
    value = dict(zip(PARAMETERS, drawn.parameters.unbind(-1)))
    area = value["height"] * value["width"]
    assert area.min() > 0.18  # boxes are of whole pixels
    assert area.max() <= 1
    assert area.mean() == pytest.approx(sum(_area(random.Random(i)) for i in range(4000)) / 4000, abs=0.015)
    ratio = (value["width"] / value["height"]).log()
    assert ratio.abs().max() < math.log(4 / 3) + 0.08
    assert ratio.mean().abs() < 0.01
    for name, half, neutral in (("brightness", 0.4, 1), ("contrast", 0.4, 1), ("saturation", 0.2, 1), ("hue", 0.1, 0)):
        shifted = value[name] - neutral
        assert shifted.abs().max() <= half + 1e-6
        jittered = shifted != 0
        assert jittered.float().mean() == pytest.approx(0.8, abs=0.02)
        assert shifted[jittered].std() == pytest.approx(half / math.sqrt(3), rel=0.05)
    blurred = value["blur"] > 0
    assert blurred[:, :3].all()
    assert blurred[:, 3].float().mean() == pytest.approx(0.1, abs=0.03)
    assert value["blur"][:, :3].mean() == pytest.approx(1.05, abs=0.03)
    assert not drawn.solarize[:, :3].any()
    assert drawn.solarize[:, 3].float().mean() == pytest.approx(0.2, abs=0.03)
    assert drawn.flip.float().mean() == pytest.approx(0.5, abs=0.03)
    assert drawn.grey.float().mean() == pytest.approx(0.2, abs=0.03)


def test_boxes_lie_inside_and_fill_their_room():
    drawn = draw(Augmentation(scale=(0.05, 1.0)), images(3000, 9, 14), 1, 1, seeded())
    top, left, height, width = drawn.box.unbind(-1)
    for start, length, size in ((top, height, 9), (left, width, 14)):
        assert start.min() == 0
        assert length.min() >= 1
        assert (start + length).max() == size
        share = start[length < size] / (size - length[length < size])
        assert share.mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("rows", "columns", "box"), [(4, 40, [0, 17, 4, 5]), (40, 4, [17, 0, 5, 4])])
def test_where_no_box_fits_the_largest_in_the_middle_is_taken(rows, columns, box):
    drawn = draw(Augmentation(scale=(1.0, 1.0)), images(2, rows, columns), 2, 1, seeded())
    torch.testing.assert_close(drawn.box, torch.tensor(box).expand(2, 2, 4), rtol=0, atol=0)


def test_a_sequence_ends_with_the_predicted_view():
    views = AugmentedViews("image", observed=3)
    found = views(batch(6), seeded())
    made = views.views_of(batch(6), 4, seeded())
    torch.testing.assert_close(found.context["image"], made["obs", "image"][:, :3], rtol=0, atol=0)
    torch.testing.assert_close(found.target["image"], made["obs", "image"][:, 3:], rtol=0, atol=0)
    assert found.target["valid"].all()
    assert found.context.batch_size == (6, 3)
    action = found.query["action"]
    assert action.shape == (6, 3, AugmentedViews.action_dim)
    for i in range(3):
        expected = made["parameters"][:, i + 1] - made["parameters"][:, i]
        torch.testing.assert_close(action[:, i], expected, rtol=0, atol=0)


def test_released_actions_are_differences_of_normalised_parameters():
    views = AugmentedViews("image", observed=2, normalize=True)
    parameters = views.views_of(batch(5), 3, seeded())["parameters"]
    action = views(batch(5), seeded()).query["action"]
    for row in range(5):
        for p in range(9):
            norm = max(math.sqrt(sum(parameters[row, v, p].item() ** 2 for v in range(3))), 1e-12)
            for i in range(2):
                expected = (parameters[row, i + 1, p] - parameters[row, i, p]).item() / norm
                assert action[row, i, p].item() == pytest.approx(expected, abs=1e-6)


def test_views_depend_on_the_generator_only():
    views = AugmentedViews("image")
    one, two, other = (views.views_of(batch(3), 3, seeded(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(one["obs", "image"], other["obs", "image"])


def test_images_do_not_mix():
    views, data = AugmentedViews("image"), batch(3)
    before = views.views_of(data, 3, seeded())["obs", "image"]
    data["obs", "image"][1] = 0
    after = views.views_of(data, 3, seeded())["obs", "image"]
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]], rtol=0, atol=0)
    assert not torch.equal(after[1], before[1])


def test_parts_of_a_batch_make_no_difference(monkeypatch):
    views = AugmentedViews("image")
    before = views.views_of(batch(7), 3, seeded())
    monkeypatch.setattr("worldjepa.views.augment.WORK_ELEMENTS", {"cpu": 5000})
    torch.testing.assert_close(views.views_of(batch(7), 3, seeded()), before, rtol=0, atol=0)


def test_views_may_have_another_size():
    law = Augmentation(size=10, kernel=3)
    made = AugmentedViews("image", augmentation=law).views_of(batch(2, 20, 24), 2, seeded(), predicted=0)
    assert made["obs", "image"].shape == (2, 2, 10, 10, 3)
    assert (made["parameters"][..., 8] > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flip": 1.2}, r"probabilities must lie in \[0, 1\]"),
        ({"blur": (0.5, -1)}, r"probabilities must lie in \[0, 1\]"),
        ({"scale": (0.0, 1.0)}, "scale must be a range"),
        ({"scale": (0.5, 1.5)}, "at most the whole area"),
        ({"sigma": (2.0, 1.0)}, "sigma must be a range"),
        ({"hue": 0.6}, "the hue's at most 1/2"),
    ],
)
def test_laws_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        replace(OFF, **change)


def test_what_is_no_image_is_said():
    with pytest.raises(ValueError, match=r"expected 'picture' to be uint8 images .* got nothing"):
        AugmentedViews("picture")(batch(2))
    with pytest.raises(ValueError, match="at least one observed view, got 0"):
        AugmentedViews("image", observed=0)
