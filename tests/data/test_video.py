"""Videos: complete or absent, and never silently black."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from worldjepa.data.video import VideoWriter, write_video


def frames(num: int, value: int = 90) -> np.ndarray:
    found = np.full((num, 32, 48, 3), value, dtype=np.uint8)
    found[:, :, : num + 1] = 200
    return found


def read(path: Path, rows: int, columns: int) -> np.ndarray:
    """All frames of a video, [T, rows, columns, 3] if it has this size."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, rows, columns, 3)


def test_what_was_drawn_is_what_is_read(tmp_path: Path) -> None:
    drawn = frames(12)
    path = write_video(tmp_path / "new" / "clip.mp4", drawn, fps=10)
    got = read(path, 32, 48)
    assert len(got) == 12
    assert np.abs(got.astype(float) - drawn).mean() < 10
    assert [p.name for p in path.parent.iterdir()] == ["clip.mp4"]


def test_odd_sizes_lose_a_row_not_the_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.mp4", frames(4)[:, :31, :47], fps=10)
    assert len(read(path, 30, 46)) == 4


def test_black_frames_are_an_error(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "black.mp4", fps=10)
    for frame in [*frames(1), *np.zeros((3, 32, 48, 3), dtype=np.uint8)]:
        writer.append(frame)
    with pytest.raises(RuntimeError, match=r"3 of 4 frames are black.*MUJOCO_GL=egl"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_was_not_finished_leaves_no_file(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "cut.mp4", fps=10)
    writer.append(frames(1)[0])
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_frame_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'got NoneType.*render_mode="rgb_array"'):
        VideoWriter(tmp_path / "none.mp4", fps=10).append(None)  # type: ignore[arg-type]
