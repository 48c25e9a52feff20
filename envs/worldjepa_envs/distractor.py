"""A distractor: a frame of patches around the picture that change colour at random with every step."""

import functools

import numpy as np


class Panel:
    """Patches along the edge of a picture; they say nothing of the task.

    Args:
        cells: patches along each side; the frame is one patch wide.
    """

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self.num_patches = 4 * (cells - 1)

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """Random colours [num_patches, 3] uint8."""
        return random.integers(0, 256, (self.num_patches, 3), np.uint8)

    def paint(self, images: np.ndarray, colours: np.ndarray, rows: np.ndarray) -> None:
        """Paint the frame over some of ``images`` [N, size, size, 3] uint8, in place.

        Args:
            images: pictures.
            colours: [N, num_patches, 3] uint8.
            rows: [N] bool: which.
        """
        chosen = np.flatnonzero(rows)
        if len(chosen):
            pixels, patches = _frame(self._cells, images.shape[1])
            flat = images.reshape(len(images), -1, 3)
            flat[chosen[:, None], pixels] = colours[chosen][:, patches]


@functools.cache
def _frame(cells: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of the frame, as indices into a flat picture, and the patch of each."""
    cell = np.arange(size) * cells // size
    row, column = np.repeat(cell, size), np.tile(cell, size)
    pixels = np.flatnonzero((np.minimum(row, column) == 0) | (np.maximum(row, column) == cells - 1))
    patch = np.unique(row[pixels] * cells + column[pixels], return_inverse=True)[1]
    return pixels, patch.reshape(-1)
