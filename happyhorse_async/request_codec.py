"""Requests as plain data: how they are written into a journal or a line of a batch file, and read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from attrs import NOTHING, fields

from .errors import InvalidRequestError
from .request import ImageToVideo, Mode, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

_CLASSES: dict[Mode, type[VideoRequest]] = {
    Mode.T2V: TextToVideo,
    Mode.I2V: ImageToVideo,
    Mode.R2V: ReferenceToVideo,
    Mode.EDIT: VideoEdit,
}


def to_data(request: VideoRequest) -> dict[str, Any]:
    """
    Write *request* down: its `mode`, and every field that is set.

    :raises InvalidRequestError: it holds local media or another value that is no plain data.
    """
    data: dict[str, Any] = {"mode": request.mode.value}
    for attribute in fields(type(request)):
        value = getattr(request, attribute.name)
        if isinstance(value, tuple):
            value = [*cast("Iterable[Any]", value)]
        elif isinstance(value, Mapping):
            value = dict(cast("Mapping[str, Any]", value))
        if value not in (None, [], {}):
            data[attribute.name] = value
    try:
        json.dumps(data, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"the request cannot be written down: {error}") from None
    return data


def from_data(data: Mapping[str, Any]) -> VideoRequest:
    """
    Read a request back. Without a `mode` it is inferred from the media.

    :raises InvalidRequestError: a field is unknown, missing, or does not go with the mode; names it.
    """
    given = {name: value for name, value in data.items() if name != "mode"}
    cls = _CLASSES[_mode(data)]
    known = {attribute.name: attribute for attribute in fields(cls)}
    for name in given:
        if name not in known:
            raise InvalidRequestError(f"{name!r} does not go with {cls.mode.value}; known: {', '.join(known)}")
    for name, attribute in known.items():
        if attribute.default is NOTHING and name not in given:
            raise InvalidRequestError(f"{name} is missing for {cls.mode.value}")
    return cls(**given)


def _mode(data: Mapping[str, Any]) -> Mode:
    named = data.get("mode")
    if named is not None:
        try:
            return Mode(named)
        except ValueError:
            raise InvalidRequestError(f"mode must be one of {', '.join(Mode)}, not {named!r}") from None
    if "video" in data:
        return Mode.EDIT
    if "images" in data:
        return Mode.R2V
    return Mode.I2V if "image" in data else Mode.T2V


def fingerprint(request: Mapping[str, Any]) -> str:
    """Return a digest that is the same for the same request in plain data."""
    text = json.dumps(request, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
