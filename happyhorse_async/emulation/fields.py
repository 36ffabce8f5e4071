"""The JSON body of a request, read field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, cast

from .contract import media_kind
from .errors import ApiError


class Fields:
    """
    A JSON object of a request, read field by field. The errors name the path of the field.

    :param refuse: returns the provider's error for a message.
    :param nulls: whether null counts as absent. Otherwise it is refused like any value of a wrong type.
    :raises ApiError: *value* is not an object.
    """

    def __init__(self, value: object, refuse: Callable[[str], ApiError], *, path: str = "", nulls: bool = True) -> None:
        self._refuse = refuse
        self._path = path
        self._nulls = nulls
        if not isinstance(value, dict):
            raise refuse(f"{path or 'the request body'} must be a JSON object")
        self._values = cast("dict[str, Any]", value)

    @classmethod
    def parse(
        cls,
        body: bytes | None,
        refuse: Callable[[str], ApiError],
        *,
        unreadable: Callable[[str], ApiError] | None = None,
        nulls: bool = True,
    ) -> Fields:
        """
        Decode the body of a request.

        :param unreadable: returns the error for a body that is not JSON; by default *refuse*.
        :raises ApiError: it is not a JSON object.
        """
        try:
            value = json.loads(body or b"")
        except (ValueError, RecursionError):
            raise (unreadable or refuse)("the request body is not valid JSON") from None
        return cls(value, refuse, nulls=nulls)

    def only(self, names: Iterable[str]) -> None:
        """Refuse every field but *names*."""
        for name in self._values.keys() - set(names):
            raise self._refuse(f"unexpected property '{self._name(name)}'")

    def text(self, name: str, *, required: bool = False, longest: int | None = None) -> str | None:
        """Read a text of at most *longest* characters. A required one must not be blank."""
        value = self._get(name)
        if value is None and not required:
            return None
        if not isinstance(value, str) or (required and not value.strip()):
            raise self.wrong(name, "must be a string" if value is not None else "is required")
        if longest is not None and len(value) > longest:
            raise self.wrong(name, f"must have at most {longest} characters")
        return value

    def choice(self, name: str, allowed: Iterable[str], *, default: str | None = None) -> str | None:
        """Read one of the *allowed* words."""
        value = self._get(name)
        if value is None:
            return default
        if value not in (words := tuple(allowed)):
            raise self.wrong(name, f"must be one of {', '.join(words)}")
        return cast("str", value)

    def number(self, name: str, allowed: range, *, default: int | None = None) -> int | None:
        """Read an integer. Text and fractions are refused."""
        value = self._get(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
            raise self.wrong(name, f"must be an integer from {allowed[0]} to {allowed[-1]}")
        return value

    def flag(self, name: str, *, default: bool | None = None) -> bool | None:
        """Read true or false."""
        value = self._get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, "must be a boolean")
        return value

    def child(self, name: str) -> Fields | None:
        """Read an object; `None` if it is missing."""
        value = self._get(name)
        if value is None:
            return None
        return Fields(value, self._refuse, path=self._name(name), nulls=self._nulls)

    def children(self, name: str, count: range) -> list[Fields]:
        """Read a list of objects."""
        return [
            Fields(value, self._refuse, path=f"{self._name(name)}[{index}]", nulls=self._nulls)
            for index, value in enumerate(self._list(name, count))
        ]

    def media(self, name: str, kinds: Iterable[str]) -> str:
        """Read the URL of an image or a video, of one of *kinds*; see `media_kind`."""
        return self._medium(name, self._get(name), kinds)

    def medias(self, name: str, count: range, kinds: Iterable[str]) -> tuple[str, ...]:
        """Read a list of URLs of images, each of one of *kinds*; see `media_kind`."""
        return tuple(
            self._medium(f"{name}[{index}]", value, kinds) for index, value in enumerate(self._list(name, count))
        )

    def wrong(self, name: str, sentence: str) -> ApiError:
        """Return the error about the field *name*."""
        return self._refuse(f"{self._name(name)} {sentence}")

    def __contains__(self, name: str) -> bool:
        return self._get(name) is not None

    def _medium(self, name: str, value: object, kinds: Iterable[str]) -> str:
        if value is None:
            raise self.wrong(name, "is required")
        if not isinstance(value, str) or media_kind(value) not in set(kinds):
            raise self.wrong(name, "must be a valid URL of a supported kind")
        return value

    def _list(self, name: str, count: range) -> list[Any]:
        value = self._get(name)
        values: Any = [] if value is None else value
        if not isinstance(values, list):
            raise self.wrong(name, "must be an array")
        if len(values) not in count:  # pyright: ignore[reportUnknownArgumentType]
            span = f"{count[0]} to {count[-1]}" if len(count) > 1 else f"exactly {count[0]}"
            raise self.wrong(name, f"must have {span} items")
        return values  # pyright: ignore[reportUnknownVariableType]

    def _get(self, name: str) -> Any:
        value = self._values.get(name)
        if value is None and name in self._values and not self._nulls:
            raise self.wrong(name, "must not be null")
        return value

    def _name(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name
