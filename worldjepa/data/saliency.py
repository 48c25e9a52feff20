"""Where an eye would look first: a classical map of an image, or maps that somebody else made.

A map is uint8 [rows, columns, 1], 255 at its largest: the density of fixations up to a factor.
"""

from pathlib import Path, PurePosixPath

import numpy as np
from numpy import ndarray

from worldjepa.data.members import Members
from worldjepa.data.pictures import ENDINGS, Fit, decode

WORK_SIZE = 64
"""Rows and columns at which the spectrum is taken: the scale of what counts as an object."""
SMOOTHING = 2.5
"""Standard deviation of the last blur, in pixels of that size."""
GREY = np.array([0.299, 0.587, 0.114])


def spectral_residual(image: ndarray) -> ndarray:
    """The spectral residual map (Hou and Zhang 2007): what the logarithm of the spectrum has beyond its local mean.

    With F the transform of the grey image at 64 x 64 pixels, R = log|F| - (3 x 3 mean of log|F|), the map is
    |F^-1 exp(R + i arg F)|^2, smoothed. An image of one colour has a map that is the same everywhere.

    Args:
        image: uint8 [rows, columns, 3].

    Returns:
        uint8 [rows, columns, 1].
    """
    from PIL import Image
    from scipy.ndimage import gaussian_filter, uniform_filter

    light = image @ GREY
    shape = light.shape
    if light.max() == light.min():
        return np.full((*shape, 1), 255, np.uint8)
    light = _resize(light, (WORK_SIZE, WORK_SIZE), Image.Resampling.BILINEAR)
    spectrum = np.fft.fft2(light)
    amplitude = np.abs(spectrum)
    logarithm = np.log(np.maximum(amplitude, 1e-9 * amplitude.max()))
    residual = logarithm - uniform_filter(logarithm, 3, mode="nearest")
    made = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    made = _resize(gaussian_filter(made, SMOOTHING), shape, Image.Resampling.BILINEAR)
    return _to_bytes(made)


class SaliencyMaps:
    """Maps in a folder or zip: grey images of the same names as the images they belong to, whatever their endings.

    Args:
        path: folder or zip.
        size, fit: as the images are brought to one size, see `worldjepa.data.pictures.decode`.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the zip is damaged.
    """

    def __init__(self, path: str | Path, *, size: int | None = None, fit: Fit = "crop"):
        self.path, self._size = Path(path).expanduser(), size
        self._fit: Fit = fit
        if not self.path.exists():
            raise FileNotFoundError(f"there are no saliency maps at {self.path}; give a folder or zip of grey images")
        self._members = Members(self.path)
        found = [name for name in self._members.names if name.lower().endswith(ENDINGS)]
        self._names = {str(PurePosixPath(name).with_suffix("")): name for name in found}

    def read(self, name: str, shape: tuple[int, ...]) -> ndarray:
        """The map of the image ``name``, of the image's rows and columns ``shape``: uint8 [rows, columns, 1].

        Raises:
            ValueError: there is none, it does not decode, or it is of another shape.
        """
        stem = str(PurePosixPath(name).with_suffix(""))
        if stem not in self._names:
            near = sorted(self._names)[:3]
            raise ValueError(f"{self.path} has no map {stem}.png for the image {name}; it has maps as {near}")
        where = f"{self.path}: {self._names[stem]}"
        made = decode(self._members.read(self._names[stem]), where, mode="L", size=self._size, fit=self._fit)
        if made.shape != tuple(shape):
            raise ValueError(f"{where} is of {made.shape} pixels, its image of {tuple(shape)}; make the map anew")
        return made[..., None]

    def close(self) -> None:
        """Close the zip."""
        self._members.close()


def _resize(value: ndarray, shape: tuple[int, ...], method: int) -> ndarray:
    from PIL import Image

    picture = Image.fromarray(value.astype(np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), resample=method), np.float64)


def _to_bytes(value: ndarray) -> ndarray:
    scaled = 255 * value / max(value.max(), np.finfo(np.float64).tiny)
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)[..., None]
