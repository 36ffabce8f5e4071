"""
Attrs objects as plain data that JSON can hold, and back: one shape for `to_dict`, the command line and pydantic.

A ref is its text, a time is ISO 8601 with an offset, an enumeration is its value, a tuple is a list, and a field
that is not known is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin

from attrs import NOTHING, AttrsInstance, fields, has, resolve_types

if TYPE_CHECKING:
    from cattrs import Converter
    from pydantic_core.core_schema import CoreSchema

T = TypeVar("T")

MAY_BE_LEFT_OUT = "happyhorse_async.may_be_left_out"
"""The metadata of an attrs field that a schema does not require, because it is a credential and can be left out."""


def to_plain(value: object, *, skip: frozenset[str] = frozenset()) -> Any:
    """Return *value* as plain data, without the fields named in *skip*, at any depth."""
    if hasattr(value, "parse"):
        return str(value)
    if has(type(value)):
        names = [attribute.name for attribute in fields(type(cast("AttrsInstance", value)))]
        return {name: to_plain(getattr(value, name), skip=skip) for name in names if name not in skip}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_plain(item, skip=skip) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        items = cast("Iterable[tuple[object, object]]", value.items())
        return {str(name): to_plain(item, skip=skip) for name, item in items}
    # JSON has no infinity and no NaN.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_plain(data: Mapping[str, Any], cls: type[T]) -> T:
    """
    Read an object of the attrs class *cls* from what `to_plain` wrote. Unknown fields are ignored.

    :raises ValueError: a field is missing or of the wrong type; the error names each of them.
    """
    try:
        return _converter().structure(data, cls)
    except Exception as error:  # noqa: BLE001 - cattrs raises whatever a converter or a class raises
        from cattrs import transform_error  # noqa: PLC0415 - importing cattrs takes longer than most programs may wait

        why = "; ".join(transform_error(error, path=cls.__name__))
        raise ValueError(f"this is not what {cls.__name__}.to_dict() returns: {why}") from None


@cache
def _converter() -> Converter:
    from cattrs import Converter  # noqa: PLC0415 - see from_plain

    converter = Converter()
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and hasattr(kind, "parse"), lambda text, kind: kind.parse(text)
    )
    converter.register_structure_hook(datetime, lambda text, _: _to_datetime(text))
    return converter


def _to_datetime(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def pydantic_schema(
    cls: type[T],
    *,
    read: Callable[[dict[str, Any]], T],
    write: Callable[[T], dict[str, Any]],
    skip: frozenset[str] = frozenset(),
    constants: Mapping[str, str] | None = None,
    strict: bool = False,
) -> CoreSchema:
    """
    Return pydantic's schema of the attrs class *cls*, for its `__get_pydantic_core_schema__`, which only pydantic
    calls.

    :param read: makes the object from plain data that fits the schema; pydantic reports its `ValueError`s.
    :param write: returns the plain data of an object.
    :param skip: fields that are neither read nor part of the schema.
    :param constants: further optional fields, each with its only valid value.
    :param strict: whether an unknown field is an error.
    """
    from pydantic_core import core_schema  # noqa: PLC0415 - not a dependency; the caller has it

    shape = _object_schema(cls, skip=skip, constants=constants or {}, strict=strict)

    def validate(value: Any, inner: Callable[[Any], dict[str, Any]]) -> T:
        return value if isinstance(value, cls) else read(inner(value))

    # pydantic names the function in its errors.
    validate.__name__ = validate.__qualname__ = cls.__name__
    return core_schema.no_info_wrap_validator_function(
        validate, shape, serialization=core_schema.plain_serializer_function_ser_schema(write, return_schema=shape)
    )


def pydantic_text_schema(cls: type[T], parse: Callable[[str], T]) -> CoreSchema:
    """Return pydantic's schema of a class that is written as text; *parse* raises a `ValueError` for other text."""
    from pydantic_core import core_schema  # noqa: PLC0415 - see pydantic_schema

    def validate(value: Any, inner: Callable[[Any], str]) -> T:
        return value if isinstance(value, cls) else parse(inner(value))

    validate.__name__ = validate.__qualname__ = cls.__name__
    text = core_schema.str_schema()
    return core_schema.no_info_wrap_validator_function(
        validate, text, serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=text)
    )


def pydantic_output_schema(
    cls: type[T], shape: type[Any], *, write: Callable[[T], dict[str, Any]], skip: frozenset[str] = frozenset()
) -> CoreSchema:
    """
    Return pydantic's schema of a class that is written and never read.

    :param shape: an attrs class with the fields that *write* returns.
    :param skip: fields that are not written, at any depth.
    """
    from pydantic_core import core_schema  # noqa: PLC0415 - see pydantic_schema

    fits = _object_schema(shape, skip=skip, constants={}, strict=False, name=cls.__name__)

    def validate(value: Any, _inner: Callable[[Any], object]) -> T:
        if isinstance(value, cls):
            return value
        raise ValueError(f"a {cls.__name__} is written as JSON, and not read from it")

    validate.__name__ = validate.__qualname__ = cls.__name__
    return core_schema.no_info_wrap_validator_function(
        validate, fits, serialization=core_schema.plain_serializer_function_ser_schema(write, return_schema=fits)
    )


def _object_schema(
    cls: type[Any],
    *,
    skip: frozenset[str] = frozenset(),
    constants: Mapping[str, str],
    strict: bool,
    name: str | None = None,
) -> CoreSchema:
    from pydantic_core import core_schema  # noqa: PLC0415 - see pydantic_schema

    resolve_types(cls)
    name = name or cls.__name__.lstrip("_")
    shape = {
        attribute.name: core_schema.typed_dict_field(
            _field_schema(attribute.type, strict=strict, skip=skip),
            required=attribute.default is NOTHING and not attribute.metadata.get(MAY_BE_LEFT_OUT),
        )
        for attribute in fields(cls)
        if attribute.name not in skip
    }
    for constant, value in constants.items():
        shape[constant] = core_schema.typed_dict_field(core_schema.literal_schema([value]), required=False)
    return core_schema.typed_dict_schema(
        shape, extra_behavior="forbid" if strict else "ignore", cls_name=name, ref=f"happyhorse.{name}"
    )


def _field_schema(annotation: Any, *, strict: bool, skip: frozenset[str] = frozenset()) -> CoreSchema:
    from pydantic_core import core_schema  # noqa: PLC0415 - see pydantic_schema

    scalars: dict[Any, Callable[[], CoreSchema]] = {
        str: core_schema.str_schema,
        int: core_schema.int_schema,
        float: core_schema.float_schema,
        bool: core_schema.bool_schema,
        type(None): core_schema.none_schema,
        datetime: lambda: core_schema.str_schema(metadata={"pydantic_js_updates": {"format": "date-time"}}),
    }
    if annotation in scalars:
        return scalars[annotation]()
    origin: Any = get_origin(annotation)
    arguments: tuple[Any, ...] = get_args(annotation)
    if origin in (Union, UnionType):
        return _union_schema(arguments, strict=strict, skip=skip)
    if origin is tuple:
        return core_schema.list_schema(_field_schema(arguments[0], strict=strict, skip=skip))
    if origin is Literal:
        return core_schema.literal_schema(list(arguments))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return core_schema.literal_schema([member.value for member in annotation])
    if hasattr(cast("object", annotation), "parse"):
        return core_schema.str_schema()
    return _object_schema(cast("type[Any]", annotation), skip=skip, constants={}, strict=strict)


def _union_schema(members: tuple[Any, ...], *, strict: bool, skip: frozenset[str]) -> CoreSchema:
    from pydantic_core import core_schema  # noqa: PLC0415 - see pydantic_schema

    optional = type(None) in members
    # In JSON a picture or a path is text. Literals beside `str` are suggestions for an editor, not a limit.
    kinds = [str] if str in members else [member for member in members if member is not type(None)]
    schemas: list[CoreSchema | tuple[CoreSchema, str]] = [
        _field_schema(kind, strict=strict, skip=skip) for kind in kinds
    ]
    schema = core_schema.union_schema(schemas)
    return core_schema.nullable_schema(schema) if optional else schema
