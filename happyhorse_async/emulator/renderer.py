"""Draws the frames of a test video, which show the request. Needs pillow."""

from __future__ import annotations

import colorsys
import io
import textwrap
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias, cast

from attrs import frozen
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..request import Mode
from .media_spec import FRAMES_PER_SECOND, MediaSpec
from .source_video import frames

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_BANNER = "TEST PICTURE from the happyhorse emulator"

# Pillow's own font has Latin letters only. These are common fonts with Chinese, Japanese and Korean.
_WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc")
_LAST_LATIN = "\u024f"


@frozen
class Renderer:
    """Draws one video."""

    media_spec: MediaSpec

    @property
    def band_height(self) -> int:
        """Rows of the black band at the bottom, the only part that moves."""
        return 2 * round(self.media_spec.height / 18)

    @property
    def opens_with_picture(self) -> bool:
        """Whether the first frame is a picture of the request, without anything drawn over it."""
        return self.media_spec.source is not None or self._begins_with_first_frame

    @property
    def _begins_with_first_frame(self) -> bool:
        return self.media_spec.mode == Mode.I2V.value and bool(self.media_spec.pictures)

    def still(self) -> Image.Image:
        """Draw everything that does not move, in colour."""
        media_spec = self.media_spec
        if self.opens_with_picture:
            return self._still_over_picture()
        image = Image.new("RGB", (media_spec.width, media_spec.height), self._colour(0.45))
        draw = ImageDraw.Draw(image)
        margin = self._unit(40)
        top = self._write(draw, _BANNER, margin, largest=34, room=self._unit(90), fill=self._colour(1.0))
        bottom = media_spec.height - self.band_height - margin
        facts_top = bottom - self._unit(56)
        draw.rectangle((0, top + margin // 2, media_spec.width, facts_top - margin // 2), fill=self._colour(0.22))
        room = facts_top - top - 2 * margin
        if media_spec.pictures:
            room //= 2
            self._show_references(image, top + margin + room, room)
        self._write(draw, media_spec.prompt or "(no prompt)", top + margin, largest=54, room=room, fill=(255, 255, 255))
        self._write(draw, self._facts(), facts_top, largest=26, room=self._unit(56), fill=self._colour(1.0))
        draw.rectangle((0, media_spec.height - self.band_height, media_spec.width, media_spec.height), fill=(0, 0, 0))
        self._watermark(draw, facts_top - margin)
        return image

    def _still_over_picture(self) -> Image.Image:
        image = self._picture()
        draw = ImageDraw.Draw(image)
        margin, strip = self._unit(12), self.strip_height
        draw.rectangle((0, 0, self.media_spec.width, strip), fill=self._colour(0.22))
        self._write(draw, _BANNER, margin, largest=34, room=strip - margin, fill=self._colour(1.0))
        self._watermark(draw, self.media_spec.height - self.band_height - margin)
        return image

    @property
    def strip_height(self) -> int:
        """Rows of the strip at the top that is drawn over a picture or a source video."""
        return 2 * self._unit(32)

    def source_frames(self, count: int) -> Iterator[VideoFrame]:
        """Yield frames of the source video, without anything drawn over them; none if there is no source."""
        if self.media_spec.source is not None:
            yield from frames(self.media_spec.source, self.media_spec.width, self.media_spec.height, count)

    def _picture(self) -> Image.Image:
        for frame in self.source_frames(1):
            return cast("Image.Image", frame.to_image())  # type: ignore[no-untyped-call]  # pyright: ignore[reportUnknownMemberType]
        size = (self.media_spec.width, self.media_spec.height)
        with Image.open(io.BytesIO(self.media_spec.pictures[0].jpeg)) as picture:
            return ImageOps.fit(picture.convert("RGB"), size)

    def _show_references(self, image: Image.Image, top: int, height: int) -> None:
        """Paste the pictures of the request in a row."""
        pictures, gap = self.media_spec.pictures, self._unit(12)
        width = (image.width - 2 * self._unit(40) - gap * (len(pictures) - 1)) // len(pictures)
        for number, reference in enumerate(pictures):
            with Image.open(io.BytesIO(reference.jpeg)) as picture:
                shown = ImageOps.contain(picture.convert("RGB"), (max(1, width), max(1, height)))
            image.paste(shown, (self._unit(40) + number * (width + gap), top))

    def _watermark(self, draw: ImageDraw.ImageDraw, bottom: int) -> None:
        if self.media_spec.watermark:
            font = _font("", self._unit(24))
            corner = (self.media_spec.width - self._unit(40), bottom)
            draw.text(corner, "HappyHorse", font=font, fill=(230, 230, 230), anchor="rd")

    def band(self, frame: int) -> Image.Image:
        """Draw the band at *frame*, in shades of grey: a bar that grows and a clock."""
        media_spec, height = self.media_spec, self.band_height
        band = Image.new("L", (media_spec.width, height), 0)
        draw = ImageDraw.Draw(band)
        share = (frame + 1) / self.frames
        draw.rectangle((0, height // 4, round(media_spec.width * share), height - height // 4), fill=150)
        clock = f"{frame / FRAMES_PER_SECOND:.2f} s of {media_spec.seconds:g} s"
        font = _font("", max(8, height // 2))
        draw.text((media_spec.width // 2, height // 2), clock, font=font, fill=255, anchor="mm")
        return band

    def first_frame(self) -> Image.Image:
        """Draw the complete first frame."""
        if self.opens_with_picture:
            return self._picture()
        image = self.still()
        image.paste(self.band(0).convert("RGB"), (0, self.media_spec.height - self.band_height))
        return image

    @property
    def frames(self) -> int:
        """The number of frames."""
        return max(1, round(self.media_spec.seconds * FRAMES_PER_SECOND))

    def _facts(self) -> str:
        media_spec = self.media_spec
        seed = "" if media_spec.seed is None else f" · seed {media_spec.seed}"
        size = f"{media_spec.width}x{media_spec.height} · {media_spec.seconds:g} s · {FRAMES_PER_SECOND} fps"
        return f"{media_spec.provider} · {media_spec.mode} · {media_spec.model} · {size}{seed}"

    def _unit(self, length: float) -> int:
        # Lengths are given for a short side of 720 pixels.
        return max(1, round(length * min(self.media_spec.width, self.media_spec.height) / 720))

    def _colour(self, brightness: float) -> tuple[int, int, int]:
        hue = zlib.crc32(f"{self.media_spec.model}/{self.media_spec.seed}".encode()) / 2**32
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.15 if brightness == 1 else 0.6, brightness)
        return round(red * 255), round(green * 255), round(blue * 255)

    def _write(
        self, draw: ImageDraw.ImageDraw, text: str, top: int, *, largest: int, room: int, fill: tuple[int, int, int]
    ) -> int:
        """Write *text* as large as it fits into *room* rows, and return the row below it."""
        margin = self._unit(40)
        width = self.media_spec.width - 2 * margin
        for size in (largest, largest * 3 // 4, largest // 2, largest // 3, largest // 4):
            font = _font(text, self._unit(size))
            lines = _wrapped(text, font, width)
            step = self._unit(size * 1.3)
            if len(lines) * step <= room:
                break
        for number, line in enumerate(lines[: max(1, room // step)]):
            draw.text((margin, top + number * step), line, font=font, fill=fill)
        return top + len(lines) * step


def _wrapped(text: str, font: _Font, width: int) -> list[str]:
    sample = text[:400]
    columns = max(4, int(0.95 * width * len(sample) / max(1.0, font.getlength(sample.replace("\n", " ")))))
    return [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, columns)]


def _font(text: str, size: int) -> _Font:
    if max(text, default="") > _LAST_LATIN:
        for name in _WIDE_FONTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)
