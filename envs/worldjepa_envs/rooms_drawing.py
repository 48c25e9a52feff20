"""Pictures of two rooms: anti-aliased, all rows at once; rooms are drawn once an episode and the dot in each step."""

import numpy as np

EXTENT = 8.0 / 7.0
"""The picture shows [-EXTENT, EXTENT] around its centre: around the square is a frame of a sixteenth of the picture."""


def canvas(
    size: int,
    centre: np.ndarray,
    layout: np.ndarray,
    wall: np.ndarray,
    door: np.ndarray,
    floor: np.ndarray,
    colour: np.ndarray,
) -> np.ndarray:
    """Pictures [N, size, size, 3] uint8 of empty rooms.

    Args:
        size: rows and columns.
        centre: [N, 2] what is in the middle of the picture.
        layout: [N, 2] x of the wall, y of the door.
        wall, door: [N] half thickness of the wall, half width of the door.
        floor, colour: [N, 3] of floor and wall, 0 to 255.
    """
    x, y = centre[:, 0], centre[:, 1]
    columns = _covered(size, -1.0 - x, 1.0 - x)
    rows = _covered(size, y - 1.0, y + 1.0)  # the first row is the top
    across = _covered(size, layout[:, 0] - wall - x, layout[:, 0] + wall - x)
    gap = _covered(size, layout[:, 1] - door - y, layout[:, 1] + door - y)[:, ::-1]
    room = rows[:, :, None] * columns[:, None, :] * (1.0 - across[:, None, :] * (1.0 - gap[:, :, None]))
    return _rounded(colour[:, None, None] + room[..., None] * (floor - colour)[:, None, None])


def add_dots(
    image: np.ndarray, position: np.ndarray, radius: np.ndarray, square: np.ndarray, colour: np.ndarray
) -> None:
    """Draw a dot (or a square of the same width where ``square``) into each of ``image`` [N, size, size, 3], in place.

    Args:
        image: uint8.
        position: [N, 2] centres, from the picture's.
        radius: [N].
        square: [N] bool.
        colour: [N, 3], 0 to 255.
    """
    num, size = image.shape[:2]
    scale = size / (2.0 * EXTENT)
    x, y = (position[:, 0] + EXTENT) * scale, (EXTENT - position[:, 1]) * scale  # in pixels from the corner
    radius = radius * scale
    width = min(size, int(2.0 * radius.max()) + 4)
    left, top = (np.clip(np.floor(c - width / 2.0), 0, size - width).astype(np.intp) for c in (x, y))
    steps = np.arange(width)
    columns, rows = left[:, None] + steps, top[:, None] + steps
    dx, dy = (columns + 0.5 - x[:, None])[:, None, :], (rows + 0.5 - y[:, None])[:, :, None]
    far = np.where(square[:, None, None], np.maximum(np.abs(dx), np.abs(dy)), np.sqrt(dx * dx + dy * dy))
    cover = np.clip(radius[:, None, None] + 0.5 - far, 0.0, 1.0)[..., None]
    index = np.arange(num)[:, None, None], rows[:, :, None], columns[:, None, :]
    patch = image[index].astype(np.float64)
    image[index] = _rounded(patch + cover * (colour[:, None, None] - patch))


def _covered(size: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The part [N, size] of each of ``size`` pixels of [-EXTENT, EXTENT] that lies in [low, high] (each [N])."""
    edges = np.linspace(-EXTENT, EXTENT, size + 1)
    pixel = 2.0 * EXTENT / size
    overlap = np.minimum(edges[1:], high[:, None]) - np.maximum(edges[:-1], low[:, None])
    return np.clip(overlap / pixel, 0.0, 1.0)


def _rounded(image: np.ndarray) -> np.ndarray:
    return (image + 0.5).astype(np.uint8)
