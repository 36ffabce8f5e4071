"""What a file is, by its first bytes."""

from __future__ import annotations

import pytest

from happyhorse_async.media.formats import MediaFormat, detect


def box(kind: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    return box(b"ftyp", major + b"\0\0\2\0" + b"".join(compatible)) + box(b"moov")


HEADS = {
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF", MediaFormat.JPEG),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", MediaFormat.PNG),
    "WebP": (b"RIFF\x10\0\0\0WEBPVP8 ", MediaFormat.WEBP),
    "BMP": (b"BM" + bytes(12) + b"\x28\0\0\0", MediaFormat.BMP),
    "GIF": (b"GIF89a", MediaFormat.GIF),
    "TIFF": (b"II*\0", MediaFormat.TIFF),
    "HEIC from a phone": (ftyp(b"heic", b"mif1", b"heic"), MediaFormat.HEIC),
    "HEIF by a compatible brand": (ftyp(b"mif1", b"heic"), MediaFormat.HEIC),
    "AVIF": (ftyp(b"avif", b"mif1", b"miaf"), MediaFormat.AVIF),
    "SVG": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', MediaFormat.SVG),
    "SVG with a byte order mark": (b"\xef\xbb\xbf  <svg>", MediaFormat.SVG),
    "MP4": (ftyp(b"isom", b"iso2", b"avc1", b"mp41"), MediaFormat.MP4),
    "MP4 of an iPhone": (ftyp(b"mp42", b"isom", b"mp42"), MediaFormat.MP4),
    "MOV": (ftyp(b"qt  ", b"qt  "), MediaFormat.MOV),
    "MOV without ftyp": (box(b"wide") + box(b"mdat", bytes(8)), MediaFormat.MOV),
    "WebM": (b"\x1aE\xdf\xa3\x01\0\0", MediaFormat.WEBM),
    "AVI": (b"RIFF\x10\0\0\0AVI LIST", MediaFormat.AVI),
    "WAV": (b"RIFF\x10\0\0\0WAVEfmt ", None),
    "an audio book": (ftyp(b"M4A ", b"mp42", b"isom"), None),
    "HTML": (b"<!DOCTYPE html><html>", None),
    "text": (b"BMW is a car", None),
    "zeros": (bytes(64), None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize(("head", "found"), HEADS.values(), ids=HEADS)
def test_a_file_is_what_its_first_bytes_say(head: bytes, found: MediaFormat | None) -> None:
    """Each format is told from its first bytes; anything else is no format."""
    assert found is detect(head)


@pytest.mark.parametrize("media_format", MediaFormat, ids=str)
def test_every_format_has_a_type_and_an_extension(media_format: MediaFormat) -> None:
    """The type is registered for pictures or videos, and never the misspelt image/jpg."""
    assert media_format.mime.partition("/")[0] == ("video" if media_format.is_video else "image")
    assert "image/jpg" != media_format.mime
    assert media_format.extension.startswith(".")
