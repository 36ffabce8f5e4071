"""Requests as plain data, for the journal and for batch files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Mapping
from typing import Any

from .errors import InvalidRequestError
from .request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest, read_fields

# How a local medium is written in a request depends on the provider, so only its content is compared.
_MEDIUM = re.compile(r"(data:[^\",]*,|[a-z]+://)hh-media-[a-z0-9]+-(?P<digest>[0-9a-f]{64})")
_CLASSES: dict[Mode, type[VideoRequest]] = {
    Mode.T2V: TextToVideo,
    Mode.I2V: ImageToVideo,
    Mode.R2V: ReferenceToVideo,
    Mode.EDIT: VideoEdit,
}


def from_data(data: Mapping[str, Any]) -> VideoRequest:
    """
    Read a request back. Without a `mode` it is inferred from the media.

    :raises InvalidRequestError: a field is unknown, missing, or does not fit the mode; the error names it.
    """
    return read_fields(_CLASSES[_mode(data)], data)


def _mode(data: Mapping[str, Any]) -> Mode:
    named = data.get("mode")
    if named is not None:
        try:
            return Mode(named)
        except ValueError:
            raise InvalidRequestError(f"mode must be one of {', '.join(Mode)}, not {named!r}") from None
    return infer_mode(data)


def infer_mode(fields: Container[str]) -> Mode:
    """Return the mode that follows from the media *fields* that are set: `video`, `images`, `image` or none of them."""
    if "video" in fields:
        return Mode.EDIT
    if "images" in fields:
        return Mode.R2V
    return Mode.I2V if "image" in fields else Mode.T2V


def fingerprint(request: Mapping[str, Any]) -> str:
    """Return a digest of a request in plain data. How its local media are delivered does not change it."""
    text = _MEDIUM.sub(r"\g<digest>", json.dumps(request, sort_keys=True))
    return hashlib.sha256(text.encode()).hexdigest()
