"""How long each kind of request may take."""

from __future__ import annotations

import math
from typing import Any

from attrs import Attribute, field, frozen

from .errors import ConfigurationError


def _seconds(_: object, attribute: Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(f"timeouts.{attribute.name} must be a number of seconds above 0, not {value!r}")


@frozen(kw_only=True)
class Timeouts:
    """
    How long each kind of request may take, in seconds. Waiting for a slot or the rate limit is not counted.

    A timeout never ends a task: a status request is repeated, and a submit whose response did not come in time has an
    unknown outcome.

    :raises ConfigurationError: a value is not a positive number.
    """

    connect: float = field(default=10.0, validator=_seconds)
    """For a connection to be ready: name lookup, TCP, proxy and TLS."""
    query: float = field(default=30.0, validator=_seconds)
    """For a status, list or cancel request as a whole."""
    submit: float = field(default=120.0, validator=_seconds)
    """
    For a submit as a whole. A provider may download and inspect the input before it responds, and giving up on the
    response leaves the outcome of a paid request unknown.
    """
    download: float = field(default=30.0, validator=_seconds)
    """
    For the response of a download to begin, and for each 32 KiB of it to arrive. The download as a whole has no
    timeout.
    """
