"""Writes mp4 videos, frame by frame, and notices a renderer that only draws black."""

import os
from pathlib import Path
from typing import Any

import numpy as np

BLACK_SHARE = 0.5
"""A video of which more than this share is black is taken for a broken renderer."""


class VideoWriter:
    """Streams frames to an H.264 mp4; the file appears under its name when it is complete.

    Args:
        path: the mp4; its folder is made.
        fps: frames a second.
    """

    def __init__(self, path: str | Path, fps: float):
        self.path = Path(path)
        self.num_frames = self.num_black = 0
        self._fps = float(fps)
        self._size: tuple[int, int] | None = None
        self._encoder: Any = None
        self._part = self.path.with_name(f".{self.path.stem}.{os.getpid()}.mp4")

    def append(self, frame: np.ndarray) -> None:
        """Add a frame [rows, columns, 3] uint8; an odd last row or column is cut off, as the codec asks.

        Raises:
            ValueError: the frame is not an image, or its size changed.
        """
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            got = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise ValueError(
                f"{self.path.name}: expected frames [rows, columns, 3] uint8 from env.render(), got {got}; the "
                'environment must support render_mode="rgb_array"'
            )
        rows, columns = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
        if self._size is None:
            self._size = (columns, rows)
            self._open()
        elif self._size != (columns, rows):
            raise ValueError(f"{self.path.name}: frame size changed from {self._size} to {(columns, rows)}")
        self.num_frames += 1
        self.num_black += not frame.any()
        self._encoder.send(np.ascontiguousarray(frame[:rows, :columns]))

    def close(self) -> None:
        """Finish the file.

        Raises:
            RuntimeError: most frames are black.
        """
        if self._encoder is None:
            return
        self._encoder.close()
        self._encoder = None
        if self.num_black > BLACK_SHARE * self.num_frames:
            self._part.unlink(missing_ok=True)
            raise RuntimeError(
                f"{self.path.name}: {self.num_black} of {self.num_frames} frames are black, so the renderer does not "
                "work. Set MUJOCO_GL=egl (or osmesa) before Python starts, close other viewers before making this "
                "environment, and see `worldjepa doctor`"
            )
        self._part.replace(self.path)

    def discard(self) -> None:
        """Stop without leaving a file."""
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None
            self._part.unlink(missing_ok=True)

    def _open(self) -> None:
        import imageio_ffmpeg

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._encoder = imageio_ffmpeg.write_frames(
            str(self._part),
            self._size,
            fps=self._fps,  # pyright: ignore[reportArgumentType]
            codec="libx264",
            quality=6,
            macro_block_size=2,
        )
        self._encoder.send(None)


def write_video(path: str | Path, frames: np.ndarray, fps: float) -> Path:
    """Write frames [T, rows, columns, 3] uint8 to an mp4 and return its path."""
    writer = VideoWriter(path, fps)
    for frame in frames:
        writer.append(frame)
    writer.close()
    return writer.path
