"""The URL of a PostgreSQL server: what is accepted, what the driver gets, and what is shown."""

from __future__ import annotations

import pytest

import happyhorse_async as hh
from happyhorse_async.stores.postgres.address import Address

SECRET = "c4n4ry"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            f"postgresql://app:{SECRET}@db.example:5433/videos?sslmode=verify-full",
            "postgresql://db.example:5433/videos",
        ),
        (f"postgres://app:{SECRET}@one,two:5433/videos", "postgresql://one,two:5433/videos"),
        (f"postgresql://app@[::1]:5432/videos?password={SECRET}", "postgresql://[::1]:5432/videos"),
        ("postgresql:///videos?host=/run/postgresql", "postgresql:///run/postgresql/videos"),
        ("postgresql:///?service=videos", "postgresql:///"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """Neither the repr of a store nor an error has the user, the password or the settings."""
    assert shown == Address(url).shown
    assert SECRET not in repr(hh.PostgresStore(url)) + repr(Address(url))
    assert f"PostgresStore({shown!r}, schema='happyhorse')" == repr(hh.PostgresStore(url))


def test_the_driver_gets_what_it_knows() -> None:
    """Settings of libpq that it would send to the server are left out; a server that takes writes is asked for."""
    url = "postgresql://app@db/videos?sslmode=require&connect_timeout=3&channel_binding=require&application_name=web"
    arguments = Address(url).arguments()

    assert "postgresql://app@db/videos?sslmode=require" == arguments["dsn"]
    assert "read-write" == arguments["target_session_attrs"]
    assert "web" == arguments["server_settings"]["application_name"]
    assert "target_session_attrs" not in Address("postgresql://db/x?target_session_attrs=primary").arguments()


def test_a_pooler_is_sent_nothing_that_it_refuses() -> None:
    """No statement outlives its transaction, and no parameter is set at the start."""
    arguments = Address("postgresql://app@bouncer:6432/videos", is_pooled=True).arguments()

    assert 0 == arguments["statement_cache_size"]
    assert "server_settings" not in arguments


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"host=db password={SECRET}", "no URL"),
        (f"mysql://app:{SECRET}@db/videos", "the scheme 'mysql'"),
        (f"postgresql+asyncpg://app:{SECRET}@db/videos", r"the scheme 'postgresql\+asyncpg'"),
        (f"postgresql://app:{SECRET}#1@db/videos", "write # as %23"),
        (f"postgresql://app:{SECRET}@[db/videos", "cannot be read"),
        ("postgresql://db/videos?hostaddr=10.0.0.1", "hostaddr is not supported"),
        ("", "no URL"),
    ],
)
def test_what_is_no_url_of_a_server_is_an_error_that_does_not_show_it(url: str, sentence: str) -> None:
    """It is found out when the store is made."""
    with pytest.raises(hh.ConfigurationError, match=sentence) as caught:
        hh.PostgresStore(url)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"schema": "My Schema"}, "schema"), ({"timeout": 0}, "timeout"), ({"takeover_after": -1}, "takeover_after")],
)
def test_settings_out_of_range_are_an_error(settings: dict[str, object], sentence: str) -> None:
    """The error names the setting."""
    with pytest.raises(hh.ConfigurationError, match=sentence):
        hh.PostgresStore("postgresql://db/videos", **settings)
