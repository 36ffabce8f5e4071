"""The table `[engine]`: the system that runs enqueued jobs."""

from __future__ import annotations

import os
import warnings
from typing import Any
from urllib.parse import urlsplit

from attrs import asdict, field, frozen
from attrs.validators import ge, gt, optional

from ..errors import ConfigurationError
from ..redaction import redact_url
from .structuring import quoted, variable_name

_KINDS = ("dbos",)
_PLACES = frozenset({"kind", "url", "url_env"})


@frozen(kw_only=True)
class EngineSettings:
    """
    The engine that runs enqueued jobs. Unset fields get the engine's defaults.

    :raises ConfigurationError: the engine is unknown, or a number is out of range.
    """

    kind: str
    """`dbos`: durable workflows of DBOS."""
    url: str | None = field(default=None, repr=False)
    """The URL of the system database; by default the database of the store. One with a password belongs into the
    variable that `url_env` names."""
    url_env: str | None = None
    """The environment variable with that URL."""
    name: str | None = None
    """The application in DBOS, and the queue."""
    application_version: str | None = None
    """Processes with the same one run each other's workflows."""
    schema: str | None = None
    """The schema of the tables of DBOS."""
    concurrency: int | None = field(default=None, validator=optional(ge(1)))
    """How many workflows one process runs at a time."""
    polling_interval: float | None = field(default=None, validator=optional(gt(0)))
    """Seconds between two checks of each process for new workflows."""

    def __attrs_post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConfigurationError(f"kind: there is no engine {quoted(self.kind)}; known: {', '.join(_KINDS)}")
        if self.url is not None and self.url_env is not None:
            raise ConfigurationError("url_env and url cannot be combined")

    @property
    def options(self) -> dict[str, Any]:
        """The other fields that are set, as the engine's arguments."""
        return {name: value for name, value in self._set().items() if name not in _PLACES}

    def database(self) -> str | None:
        """
        Return the URL of the database, read from the environment now; `None` for the store's database.

        Warns of a password in the configuration file.

        :raises ConfigurationError: the variable is not set.
        """
        if self.url is not None and urlsplit(self.url).password:
            warnings.warn(
                "engine.url: the password of the database is stored in plain text in the configuration file; "
                "use url_env instead",
                stacklevel=4,
            )
        if self.url_env is None:
            return self.url
        value = os.environ.get(self.url_env)
        if not value:
            raise ConfigurationError(
                f"engine.url_env: the environment variable {variable_name(self.url_env)} is not set"
            )
        return value

    def resolved(self) -> dict[str, Any]:
        """Return the fields that are set, without secrets."""
        shown = self._set()
        if self.url is not None:
            shown["url"] = redact_url(self.url)
        return shown

    def _set(self) -> dict[str, Any]:
        return asdict(self, filter=lambda _, value: value is not None)
