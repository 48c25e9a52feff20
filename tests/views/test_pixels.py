"""Operations on pictures against references: interpolation of the crop, colorsys, a convolution written out."""

import colorsys

import numpy as np
import pytest
import torch

from worldjepa.views.pixels import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blur_kernel,
    crop_resize,
    gaussian_blur,
    grey,
    luminance,
    solarize,
)

GREYS = (0.2989, 0.587, 0.114)


def pictures(num: int, rows: int = 16, columns: int = 16) -> torch.Tensor:
    return torch.rand(num, 3, rows, columns, generator=torch.Generator().manual_seed(num))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(16, 16), (7, 12), (40, 33)])
def test_crops_are_the_interpolated_crops(interpolation, size):
    image = pictures(2, 20, 24)
    boxes = [[(0, 0, 20, 24), (3, 5, 9, 11)], [(19, 23, 1, 1), (2, 0, 18, 3)]]
    flip = torch.tensor([[False, True], [False, True]])
    made = crop_resize(image, torch.tensor(boxes), flip, size, interpolation).unflatten(0, (2, 2))
    for row in range(2):
        for view in range(2):
            i, j, h, w = boxes[row][view]
            crop = image[row : row + 1, :, i : i + h, j : j + w]
            expected = torch.nn.functional.interpolate(crop, size, mode=interpolation, antialias=True)[0].clamp(0, 1)
            expected = expected.flip(2) if flip[row, view] else expected
            torch.testing.assert_close(made[row, view], expected, rtol=0, atol=2e-6)


def test_the_whole_picture_at_its_own_size_is_itself():
    image = pictures(3)
    box = torch.tensor([0, 0, 16, 16]).expand(3, 1, 4)
    for interpolation in ("bilinear", "bicubic"):
        made = crop_resize(image, box, torch.zeros(3, 1, dtype=torch.bool), (16, 16), interpolation)
        torch.testing.assert_close(made, image, rtol=0, atol=0)


def test_the_hue_is_that_of_colorsys():
    pixels = pictures(1, 20, 20)[0].flatten(1).T
    special = [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1)]
    pixels = torch.cat([pixels, torch.tensor(special)])
    for shift in (-0.5, -0.1, 0.0, 0.07, 0.3):
        made = adjust_hue(pixels.T[None, :, None], torch.tensor([shift]))[0, :, 0].T
        for before, after in zip(pixels.tolist(), made.tolist()):
            h, s, v = colorsys.rgb_to_hsv(*before)
            assert after == pytest.approx(colorsys.hsv_to_rgb((h + shift) % 1, s, v), abs=2e-5)


def test_colours_are_blended_pixel_by_pixel():
    x = pictures(2, 5, 6)
    factor = torch.tensor([0.7, 1.4])
    for row in range(2):
        f = factor[row].item()
        mean = np.mean([np.dot(GREYS, x[row, :, i, j].numpy()) for i in range(5) for j in range(6)])
        for i in range(5):
            for j in range(6):
                pixel = x[row, :, i, j].numpy()
                level = np.dot(GREYS, pixel)
                for made, expected in (
                    (adjust_brightness(x, factor), f * pixel),
                    (adjust_contrast(x, factor), mean + f * (pixel - mean)),
                    (adjust_saturation(x, factor), level + f * (pixel - level)),
                ):
                    np.testing.assert_allclose(made[row, :, i, j].numpy(), np.clip(expected, 0, 1), atol=1e-6)


def test_no_saturation_is_grey_and_has_no_hue():
    x = pictures(2)
    without = adjust_saturation(x, torch.zeros(2))
    torch.testing.assert_close(without, luminance(x).expand_as(x))
    torch.testing.assert_close(adjust_hue(without, torch.tensor([0.3, -0.4])), without, rtol=0, atol=0)


def test_only_the_chosen_pictures_change():
    x = pictures(3)
    chosen = torch.tensor([False, True, False])
    for made, expected in (
        (grey(x, chosen), luminance(x).expand_as(x)),
        (solarize(x, chosen), torch.where(x >= 128 / 255, 1 - x, x)),
    ):
        torch.testing.assert_close(made[[0, 2]], x[[0, 2]], rtol=0, atol=0)
        torch.testing.assert_close(made[1], expected[1])
        assert not torch.equal(made[1], x[1])


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_the_blur_is_a_convolution(kernel):
    x = pictures(2, 9, 8)
    sigma = torch.tensor([0.4, 1.7])
    made = gaussian_blur(x, sigma, kernel)
    half = kernel // 2
    for row in range(2):
        padded = np.pad(x[row].numpy(), ((0, 0), (half, half), (half, half)), mode="reflect")
        offsets = range(-half, half + 1)
        weight = np.array([[np.exp(-(a * a + b * b) / (2 * sigma[row].item() ** 2)) for b in offsets] for a in offsets])
        weight /= weight.sum()
        for i in range(9):
            for j in range(8):
                window = padded[:, i : i + kernel, j : j + kernel]
                np.testing.assert_allclose(made[row, :, i, j].numpy(), (window * weight).sum((1, 2)), atol=1e-6)


def test_a_sigma_of_zero_leaves_a_picture():
    x = pictures(2)
    torch.testing.assert_close(gaussian_blur(x, torch.zeros(2), 7), x, rtol=0, atol=0)


@pytest.mark.parametrize(("kernel", "size"), [(4, 16), (0, 16), (9, 4)])
def test_kernels_are_odd_and_smaller_than_the_picture(kernel, size):
    with pytest.raises(ValueError, match="expected a kernel of an odd size"):
        gaussian_blur(pictures(1, size, size), torch.ones(1), kernel)


def test_published_kernels():
    assert [blur_kernel(size) for size in (32, 64, 96, 224)] == [3, 7, 9, 23]
