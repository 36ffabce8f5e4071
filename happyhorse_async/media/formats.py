"""Detects a file format from the first bytes. Neither a file name nor a declared type is trusted."""

from __future__ import annotations

from enum import StrEnum

HEAD = 4096
"""The number of first bytes that `detect` needs."""


class MediaFormat(StrEnum):
    """A file format, by its common name."""

    JPEG = "JPEG"
    """https://www.w3.org/Graphics/JPEG/"""
    PNG = "PNG"
    """https://www.w3.org/TR/png/"""
    WEBP = "WebP"
    """https://developers.google.com/speed/webp"""
    BMP = "BMP"
    """A bitmap of Windows."""
    GIF = "GIF"
    """Taken by no provider."""
    TIFF = "TIFF"
    """Taken by no provider."""
    HEIC = "HEIC"
    """The format of phone cameras; accepted by no provider."""
    AVIF = "AVIF"
    """Taken by no provider."""
    SVG = "SVG"
    """A drawing, which has no pixels."""
    MP4 = "MP4"
    """A video in the container of MPEG-4."""
    MOV = "MOV"
    """A video in the container of QuickTime."""
    WEBM = "WebM"
    """Taken by no provider."""
    AVI = "AVI"
    """Taken by no provider."""

    @property
    def mime(self) -> str:
        """The registered media type: https://www.iana.org/assignments/media-types/."""
        return _MIME[self]

    @property
    def extension(self) -> str:
        """The usual extension, with its dot."""
        return _EXTENSIONS.get(self, f".{self.value.lower()}")

    @property
    def is_video(self) -> bool:
        """Whether it is a format of videos."""
        return self.mime.startswith("video/")


_MIME = {
    MediaFormat.JPEG: "image/jpeg",
    MediaFormat.PNG: "image/png",
    MediaFormat.WEBP: "image/webp",
    MediaFormat.BMP: "image/bmp",
    MediaFormat.GIF: "image/gif",
    MediaFormat.TIFF: "image/tiff",
    MediaFormat.HEIC: "image/heic",
    MediaFormat.AVIF: "image/avif",
    MediaFormat.SVG: "image/svg+xml",
    MediaFormat.MP4: "video/mp4",
    MediaFormat.MOV: "video/quicktime",
    MediaFormat.WEBM: "video/webm",
    MediaFormat.AVI: "video/x-msvideo",
}
_EXTENSIONS = {MediaFormat.JPEG: ".jpg", MediaFormat.TIFF: ".tif"}
_SIGNATURES = (
    (b"\xff\xd8\xff", MediaFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", MediaFormat.PNG),
    (b"GIF87a", MediaFormat.GIF),
    (b"GIF89a", MediaFormat.GIF),
    (b"II*\x00", MediaFormat.TIFF),
    (b"MM\x00*", MediaFormat.TIFF),
    (b"\x1aE\xdf\xa3", MediaFormat.WEBM),
)
# Brands of https://mp4ra.org/registered-types/brands: a still picture has the same container as a video.
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
# Boxes that a QuickTime file may begin with: it needs no ftyp.
_QUICKTIME_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})


def extension_of(mime: str) -> str:
    """Return the usual extension of a media type, with its dot; empty for an unknown one."""
    return next((found.extension for found in MediaFormat if found.mime == mime), "")


def detect(head: bytes) -> MediaFormat | None:
    """Return the format of the file that begins with *head*, its first `HEAD` bytes; `None` for any other."""
    for signature, found in _SIGNATURES:
        if head.startswith(signature):
            return found
    if head[:4] == b"RIFF":
        return {b"WEBP": MediaFormat.WEBP, b"AVI ": MediaFormat.AVI}.get(head[8:12])
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return MediaFormat.BMP
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[4:8] in _QUICKTIME_BOXES:
        return MediaFormat.MOV
    return MediaFormat.SVG if _is_svg(head) else None


def _by_brand(head: bytes) -> MediaFormat | None:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    major = head[8:12]
    brands = {major, *(head[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & _AVIF_BRANDS:
        return MediaFormat.AVIF
    if major in _HEIC_BRANDS or (brands & _HEIC_BRANDS and not _has_video_brand(brands)):
        return MediaFormat.HEIC
    if major == b"qt  ":
        return MediaFormat.MOV
    # An audio book is no picture and no video.
    return None if major in (b"M4A ", b"M4B ", b"M4P ") else MediaFormat.MP4


def _has_video_brand(brands: set[bytes]) -> bool:
    return any(brand[:3] in (b"iso", b"mp4", b"avc") or brand == b"M4V " for brand in brands)


def _is_svg(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text[:4] == b"<svg" or (text[:5] in (b"<?xml", b"<!DOC") and b"<svg" in text)
