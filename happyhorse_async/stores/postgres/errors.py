"""The errors of a PostgreSQL server, in sentences that name the store and say what to do."""

from __future__ import annotations

import ssl

import asyncpg
from asyncpg import exceptions as pg

from ...errors import StoreError
from ...redaction import redact_text

# The connection, or its server, is of no further use. Another one may be.
_LOST = (
    OSError,
    TimeoutError,
    EOFError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    pg.PostgresConnectionError,
    pg.OperatorInterventionError,
    pg.TooManyConnectionsError,
    pg.ReadOnlySQLTransactionError,
    pg.IdleInTransactionSessionTimeoutError,
)
# Waiting does not change the answer.
_SETTLED: tuple[type[BaseException], ...] = (
    pg.QueryCanceledError,
    asyncpg.ClientConfigurationError,
    ssl.SSLCertVerificationError,
)
_CONFLICTS = (pg.DeadlockDetectedError, pg.SerializationError, pg.LockNotAvailableError)

# https://www.postgresql.org/docs/current/errcodes-appendix.html: by code, or by class of codes
_SENTENCES = {
    "22": "a value of the job cannot be kept, such as a number that is not finite",
    "28": "the server refuses the user or the password: check the URL and pg_hba.conf",
    "3D000": "there is no such database: create it, or correct the URL",
    "42704": "the server does not know a setting that the URL asks for",
    "42501": (
        "the user lacks a permission: it needs CREATE on the database, or an existing schema of its own that is "
        "given as schema="
    ),
    "53": "the server is out of room or of connections: make room and try again",
    "54": "a text of the job, such as its key, is longer than the server can index (about 2,700 bytes)",
    "55P03": "another process keeps the job locked: try again",
    "23505": "the job conflicts with another one, for example because it has the same key",
    "42": "its tables are not those of a job store: were they changed by another program?",
}
_AWAY = "the server cannot be reached: check that it runs, and the URL"
_TIMEOUT = "the server did not answer in time: check its load and the network"
_READ_ONLY = "the server takes no writes: it is a standby; give the URL of the primary, or of all hosts"


def is_lost(error: BaseException) -> bool:
    """Return whether *error* says that the connection is gone, and that another one may work."""
    return isinstance(error, _LOST) and not isinstance(error, _SETTLED)


def is_conflict(error: BaseException) -> bool:
    """Return whether the same transaction may succeed when it is repeated."""
    return isinstance(error, _CONFLICTS)


def store_error(error: BaseException, name: str, *secrets: str) -> StoreError:
    """
    Return the `StoreError` for an error of the driver.

    The server's own message is left out where it may quote a value.
    """
    if isinstance(error, StoreError):
        return StoreError(error.message)
    code = getattr(error, "sqlstate", None) or ""
    sentence = _SENTENCES.get(code) or _SENTENCES.get(code[:2])
    if sentence is None:
        sentence = _general(error)
    detail = redact_text(_detail(error, code), *secrets)
    return StoreError(f"{name}: {sentence} ({detail})")


def _general(error: BaseException) -> str:
    if isinstance(error, pg.ReadOnlySQLTransactionError):
        return _READ_ONLY
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return _READ_ONLY
    if isinstance(error, TimeoutError):
        return _TIMEOUT
    # The driver has no class of its own for a server without TLS.
    if isinstance(error, ssl.SSLError) or type(error) is ConnectionError:
        return "no TLS connection can be made: check sslmode and sslrootcert in the URL, and the server's certificate"
    if isinstance(error, asyncpg.ClientConfigurationError):
        return f"its URL cannot be used: {error}"
    return _AWAY if is_lost(error) else "the server reports an error"


def _detail(error: BaseException, code: str) -> str:
    name = type(error).__name__
    if code:
        return f"{name}, SQLSTATE {code}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return name
