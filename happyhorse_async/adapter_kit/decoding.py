"""
From the bytes of a reply to typed wire objects, or to one clear error with the path of the field.

Providers write numbers as strings, integers as floats and leave out what they call required. Whatever can be read
without loss is read. A field that only adorns (a size, a timestamp) is declared `Lax` and becomes `None` when it
cannot be read, since a video that was paid for is worth more than its metadata. A field that matters is not, and is
named in an `InvalidResponseError`.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timezone
from textwrap import shorten
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_origin

from attrs import has
from cattrs import BaseConverter, BaseValidationError, Converter, transform_error
from cattrs.cols import is_sequence, list_structure_factory
from cattrs.dispatch import StructureHook
from cattrs.gen import make_dict_structure_fn

from ..errors import InvalidResponseError
from ..messages import HttpRequest, HttpResponse
from ..redaction import redact_text

T = TypeVar("T")

_LOOSE = "loose"

Lax: TypeAlias = Annotated[T | None, _LOOSE]
"""`Lax[float]` is a float, or `None` where there is none or it cannot be read."""


def read_json(response: HttpResponse) -> Any:
    """
    Decode the body of *response*.

    :raises InvalidResponseError: it is not JSON in UTF-8, is nested too deep, or holds a number or character that JSON
        does not know.
    """
    with suppress(ValueError, RecursionError):
        value = _JSON.decode(response.body.decode())
        if b"\\ud" in response.body.lower():
            # Half of a surrogate pair is legal in the escaped text and breaks whoever prints or stores it.
            json.dumps(value, ensure_ascii=False).encode()
        return value
    # The decoder's own error is left behind: it holds the whole body, and its repr shows it.
    raise InvalidResponseError(f"the answer is not readable JSON: {_excerpt(response)}", status_code=response.status)


def read_object(response: HttpResponse) -> Mapping[str, Any]:
    """
    Decode the body of *response*, which must be a JSON object.

    :raises InvalidResponseError: it is not.
    """
    value = read_json(response)
    if not isinstance(value, dict):
        raise InvalidResponseError(
            f"the answer is a JSON {type(value).__name__}, not an object", status_code=response.status
        )
    return value  # pyright: ignore[reportUnknownVariableType]


def read_callback(message: HttpRequest) -> Mapping[str, Any]:
    """
    Decode the body of a callback, which must be a JSON object.

    :param message: its header names are lower-case. It may do without a `Content-Type`, but not with a wrong one.
    :raises InvalidResponseError: it is not. The error does not quote it, since anybody may have written it.
    """
    kind = message.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise InvalidResponseError("the callback is not sent as JSON")
    with suppress(InvalidResponseError):
        return read_object(HttpResponse(status=200, body=message.body or b""))
    raise InvalidResponseError("the callback is not a JSON object")


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


_JSON = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _excerpt(response: HttpResponse) -> str:
    # Cut between words: half of a key that the provider echoes would no longer be known for one.
    text = redact_text(shorten(response.body[:600].decode(errors="replace"), 200, placeholder=" …"))
    return repr(text) if text else "it is empty"


def structure(value: object, cls: type[T], *, root: str = "") -> T:
    """
    Build the wire object *cls* from decoded JSON.

    :param root: the path of *value* in the whole answer, for the error.
    :raises InvalidResponseError: a field that matters is missing or cannot be read; `path` names it.
    """
    try:
        structured: T = _CONVERTER.get_structure_hook(cls)(value, cls)
    except BaseValidationError as error:
        problem = transform_error(error, path="$", format_exception=_describe)[0]
        sentence, _, place = problem.rpartition(" @ ")
    except (TypeError, ValueError) as error:
        sentence, place = _describe(error, cls), "$"
    else:
        return structured
    path = ".".join(part for part in (root, place.removeprefix("$").removeprefix(".")) if part)
    raise InvalidResponseError(f"the answer cannot be understood: {sentence}", path=path)


def _describe(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return "required field missing"
    return str(error)[:200]


def _to_str(value: object, _: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"expected text, got {_kind(value)}")
    return str(value)


def _to_int(value: object, _: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"expected a whole number, got {_kind(value)}")
    with suppress(ValueError):
        # By way of a float, a large one would lose its last digits.
        value = int(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return value
    number = float(value)
    if not number.is_integer():
        raise ValueError("expected a whole number, got a fraction")
    return int(number)


def _to_float(value: object, _: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"expected a number, got {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("expected a number, got none that is finite")
    return number


def _to_bool(value: object, _: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise TypeError(f"expected true or false, got {_kind(value)}")


def _to_mapping(value: object, _: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {_kind(value)}")
    return value  # pyright: ignore[reportUnknownVariableType]


_KINDS: dict[type, str] = {
    type(None): "nothing",
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "text",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "something else")


def _is_lax(cls: object) -> bool:
    return get_origin(cls) is Annotated and _LOOSE in get_args(cls)[1:]


def _is_mapping(cls: object) -> bool:
    return get_origin(cls) is Mapping


def _strict_list(cls: Any, converter: BaseConverter) -> StructureHook:
    inner = list_structure_factory(cls, converter)

    def to_list(value: object, cls: Any) -> object:
        if not isinstance(value, list):
            raise TypeError(f"expected a list, got {_kind(value)}")
        return inner(value, cls)

    return to_list


def _strict_object(cls: Any, converter: BaseConverter) -> StructureHook:
    inner = make_dict_structure_fn(cls, converter)

    def to_object(value: object, cls: Any) -> object:
        return inner(_to_mapping(value, cls), cls)

    return to_object


def _lax(cls: Any, converter: BaseConverter) -> StructureHook:
    union = get_args(cls)[0]
    wanted = next(part for part in get_args(union) if part is not types.NoneType)
    inner = converter.get_structure_hook(wanted)

    def to_loose(value: object, _: object) -> object:
        if value is None:
            return None
        try:
            return inner(value, wanted)
        except (BaseValidationError, TypeError, ValueError):
            return None

    return to_loose


def _wire_converter() -> Converter:
    converter = Converter(detailed_validation=True)
    converter.register_structure_hook(str, _to_str)
    converter.register_structure_hook(int, _to_int)
    converter.register_structure_hook(float, _to_float)
    converter.register_structure_hook(bool, _to_bool)
    converter.register_structure_hook_func(_is_mapping, _to_mapping)
    converter.register_structure_hook_factory(_is_lax, _lax)
    converter.register_structure_hook_factory(is_sequence, _strict_list)
    converter.register_structure_hook_factory(has, _strict_object)
    return converter


_CONVERTER = _wire_converter()


def parse_datetime(text: str | None, *, default_zone: timezone = UTC) -> datetime | None:
    """
    Read an ISO 8601 or `YYYY-MM-DD HH:mm:ss.SSS` timestamp; `None` where there is none or it cannot be read.

    :param default_zone: the zone of a text that names none.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return _on_the_calendar(moment if moment.tzinfo else moment.replace(tzinfo=default_zone))


def from_epoch(seconds: float | None) -> datetime | None:
    """Read Unix seconds; `None` for none, for zero (some providers' word for "not yet") and for what cannot be read."""
    if not seconds or seconds < 0:
        return None
    try:
        return _on_the_calendar(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def _on_the_calendar(moment: datetime) -> datetime | None:
    # In the first and the last year, an hour more or less, or another zone, may be no date any more.
    return moment if 1 < moment.year < 9999 else None
