"""
The URL of a PostgreSQL server: the arguments for the driver, and the part that may be shown.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from attrs import field, frozen

from ...errors import ConfigurationError

# Settings of libpq that asyncpg does not have and would send to the server, which refuses them. What they tune is
# either set here for every connection or does not exist in asyncpg.
_LIBPQ_ONLY = frozenset(
    {
        "application_name", "channel_binding", "client_encoding", "connect_timeout", "fallback_application_name",
        "gssdelegation", "gssencmode", "hostaddr", "keepalives", "keepalives_count", "keepalives_idle",
        "keepalives_interval", "load_balance_hosts", "require_auth", "requirepeer", "sslcertmode", "sslcompression",
        "sslsni", "tcp_user_timeout",
    }
)  # fmt: skip
_REFUSED = {"hostaddr", "require_auth", "requirepeer"}

# A server that has lost its client frees the locks of the connection after some ten seconds: asyncpg cannot ask for
# keepalives from this side.
_KEEPALIVES = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}


@frozen
class Address:
    """
    Where a server is reached, and how.

    :raises ConfigurationError: the text is not a URL of PostgreSQL. The error does not show it.
    """

    url: str = field(repr=False)
    is_pooled: bool = False
    """Whether a pooler such as PgBouncer stands in between: no statement outlives its transaction then."""
    application_name: str = "happyhorse-async"

    def __attrs_post_init__(self) -> None:
        self._check()

    @property
    def shown(self) -> str:
        """The URL without user, password and settings."""
        parts = urlsplit(self.url)
        hosts = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "")
        return f"postgresql://{hosts}{parts.path}"

    @property
    def password(self) -> str:
        """The password of the URL, to be masked in messages; empty if there is none."""
        parts = urlsplit(self.url)
        in_query = dict(parse_qsl(parts.query)).get("password", "")
        return unquote(parts.netloc.rpartition("@")[0].partition(":")[2]) or in_query

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `asyncpg.connect`."""
        parts = urlsplit(self.url)
        settings = parse_qsl(parts.query, keep_blank_values=True)
        given = dict(settings)
        kept = [(name, value) for name, value in settings if name not in _LIBPQ_ONLY]
        arguments: dict[str, Any] = {"dsn": urlunsplit(parts._replace(query=urlencode(kept)))}
        # A standby can neither be written nor does it have the locks of the living.
        if given.get("target_session_attrs") != "primary":
            arguments["target_session_attrs"] = "read-write"
        if self.is_pooled:
            return arguments | {"statement_cache_size": 0}
        name = given.get("application_name", self.application_name)
        return arguments | {"server_settings": {"application_name": name, **_KEEPALIVES}}

    def _check(self) -> None:
        scheme = self.url.partition("://")[0] if "://" in self.url else ""
        if scheme not in ("postgresql", "postgres"):
            what = f"the scheme {scheme!r}" if scheme.replace("+", "").isalnum() else "no URL"
            raise ConfigurationError(
                f"the URL of the job store is {what}: expected postgresql://user:password@host:5432/database"
            )
        try:
            parts = urlsplit(self.url)
            settings = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        except ValueError:
            raise ConfigurationError(
                "the URL of the job store cannot be read: escape special characters of user, password and settings "
                "with %, for example @ as %40"
            ) from None
        if unknown := sorted(_REFUSED & set(settings)):
            raise ConfigurationError(f"the URL of the job store: {unknown[0]} is not supported by the driver asyncpg")
        if "#" in self.url or self.url.count("?") > 1:
            raise ConfigurationError("the URL of the job store: write # as %23 and ? as %3F in user and password")
