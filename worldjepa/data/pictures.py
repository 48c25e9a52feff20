"""Decodes picture files with Pillow: to 8 bits, to colours or grey, to one size where that is asked for."""

import io
from typing import Literal

import numpy as np
from numpy import ndarray

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff", ".gif")
Fit = Literal["crop", "stretch"]


def decode(
    content: bytes,
    where: str,
    *,
    mode: Literal["RGB", "L"] = "RGB",
    size: int | None = None,
    fit: Fit = "crop",
) -> ndarray:
    """An encoded image as uint8 [rows, columns, 3], or [rows, columns] in the mode "L" (grey).

    Args:
        content: of the file.
        where: its name, for the message.
        mode: "RGB" or "L".
        size: rows and columns; None: those that it has.
        fit: "crop" the middle to a square, then scale it; "stretch" without a crop (both bicubic, with antialiasing).

    Raises:
        ValueError: it does not decode, or its pixels have more than 8 bits.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as file:
            file.load()
            if file.mode.startswith("I") or file.mode == "F":
                raise ValueError(f"its pixels are of the type {file.mode}, of more than 8 bits")
            image = file.convert("RGBA") if "transparency" in file.info else file
            image = image.convert(mode)
    except (OSError, SyntaxError, EOFError, ValueError, Image.DecompressionBombError) as error:
        why = "its content is of no known format" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{where} is not an image that can be read ({why}); mend it or take it out") from error
    if size is not None and image.size != (size, size):
        if fit == "crop":
            image = ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)
        else:
            image = image.resize((size, size), resample=Image.Resampling.BICUBIC)
    return np.array(image)
