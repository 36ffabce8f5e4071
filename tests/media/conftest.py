"""Pictures and videos to send, made once."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Make a picture of a size and a format; *noise* makes its file large."""

    def picture(width: int = 640, height: int = 480, *, kind: str = "PNG", noise: bool = False, **save: Any) -> bytes:
        image = Image.effect_noise((width, height), 100) if noise else Image.new("RGB", (width, height), (200, 40, 30))
        target = io.BytesIO()
        image.convert("RGB").save(target, kind, **save)
        return target.getvalue()

    return picture


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """Make a video file."""

    def clip(
        seconds: float = 4, *, width: int = 640, height: int = 480, rate: int = 10, name: str = "clip.mp4"
    ) -> Path:
        import av

        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            frame = av.VideoFrame.from_image(Image.new("RGB", (width, height), (0, 90, 200)))
            for number in range(int(seconds * rate)):
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return clip
