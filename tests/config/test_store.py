"""The table `[store]`: where a client writes its jobs down."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import happyhorse_async as hh
from happyhorse_async.config import Settings

from ..postgres_server import PostgresServer

PROVIDER = "[providers.hiapi]\nbase_url = 'http://127.0.0.1:9'\napi_key_env = 'MY_KEY'\n"


@pytest.fixture(autouse=True)
def rooms(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a folder for the configuration, and a home."""
    monkeypatch.setenv("MY_KEY", "any")
    monkeypatch.setenv("HOME", str(directory / "home"))
    for name in ("etc", "home"):
        Path(name).mkdir()


def files() -> set[str]:
    """Name all files there are."""
    return {str(path) for path in Path().rglob("*") if path.is_file()}


def write(text: str) -> None:
    """Write the configuration file."""
    Path("etc/happyhorse.toml").write_text(PROVIDER + text)


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("jobs.sqlite", "etc/jobs.sqlite"),
        ("../jobs.sqlite", "jobs.sqlite"),
        ("~/jobs.sqlite", "home/jobs.sqlite"),
    ],
)
async def test_the_file_lies_where_it_says(path: str, file: str) -> None:
    """A relative path begins at the configuration file, and an opened client makes the file there."""
    write(f"[store]\npath = '{path}'")
    async with hh.Client.from_config("etc/happyhorse.toml") as client:
        pending = await client.pending()

    assert [] == pending
    assert {"etc/happyhorse.toml", file} <= files()


async def test_a_store_that_is_given_wins() -> None:
    """With a store of the caller's own, the file of the configuration is not touched."""
    write("[store]\npath = 'jobs.sqlite'")
    async with hh.Client.from_config("etc/happyhorse.toml", store=hh.MemoryStore()) as client:
        await client.pending()

    assert {"etc/happyhorse.toml"} == files()


async def test_without_the_table_nothing_is_written() -> None:
    """Jobs are kept in memory unless a file is configured."""
    write("")
    async with hh.Client.from_config("etc/happyhorse.toml") as client:
        await client.pending()

    assert {"etc/happyhorse.toml"} == files()


async def test_the_folder_must_exist() -> None:
    """No folder is made for the file: a misspelt one is an error when the client is opened."""
    write("[store]\npath = 'nowhere/jobs.sqlite'")

    with pytest.raises(hh.StoreError, match=r"nowhere/jobs\.sqlite: .*its folder"):
        async with hh.Client.from_config("etc/happyhorse.toml"):
            pass


def test_every_argument_of_the_store_can_be_set() -> None:
    """The table has a key for each argument of `SQLiteStore`."""
    write("[store]\npath = 'jobs.sqlite'\nkeep_prompts = 1\nkeep_closed = 2.5\nkeep_media = 1000\nbusy_timeout = 3")
    settings = Settings.load("etc/happyhorse.toml").store

    assert settings is not None
    assert set(hh.SQLiteStore.__init__.__annotations__) == {"path", "return", *settings.options}
    assert {"keep_prompts": 1, "keep_closed": 2.5, "keep_media": 1000, "busy_timeout": 3} == settings.options


def test_no_end_to_keeping(directory: Path) -> None:
    """`inf` keeps things for ever, which the store calls None; what is in force is shown."""
    write("[store]\npath = 'jobs.sqlite'\nkeep_closed = inf")
    settings = Settings.load("etc/happyhorse.toml")

    assert settings.store is not None
    assert {"keep_closed": None} == settings.store.options
    assert {"path": str(directory / "etc/jobs.sqlite"), "keep_closed": "for ever"} == settings.resolved()["store"]


DATABASE = "postgresql://jobs:canary@127.0.0.1:1/videos"


def test_the_url_of_a_database_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has a key for each argument of `PostgresStore`, and shows no password."""
    monkeypatch.setenv("MY_DATABASE", f"{DATABASE}?sslmode=disable")
    options = "schema = 'videos'\nkeep_prompts = 1\nkeep_closed = 2\nkeep_media = 5\ntimeout = 3\ntakeover_after = 4"
    write(f"[store]\nurl_env = 'MY_DATABASE'\nlisten_url_env = 'MY_DATABASE'\n{options}")
    settings = Settings.load("etc/happyhorse.toml")

    assert settings.store is not None
    assert (f"{DATABASE}?sslmode=disable",) * 2 == settings.store.database()
    arguments = set(hh.PostgresStore.__init__.__annotations__) - {"return", "url", "listen_url"}
    assert arguments == set(settings.store.options)
    assert "postgresql://***@127.0.0.1:1/videos?***" == settings.resolved()["store"]["url"]
    assert "canary" not in repr(settings)


async def test_a_client_opens_the_database_of_its_configuration(
    monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer
) -> None:
    """Nothing but the table of the file names it."""
    monkeypatch.setenv("HAPPYHORSE_DATABASE_URL", postgres_server.url)
    write("[store]\nurl_env = 'HAPPYHORSE_DATABASE_URL'\nschema = 'configured'")
    async with hh.Client.from_config("etc/happyhorse.toml") as client:
        assert [] == await client.pending()


def test_a_variable_that_is_not_set_is_named() -> None:
    """The error comes when the client is made."""
    write("[store]\nurl_env = 'MY_DATABASE'")
    with pytest.raises(hh.ConfigurationError, match=r"store\.url_env: the environment variable MY_DATABASE is not set"):
        hh.Client.from_config("etc/happyhorse.toml")


def test_a_password_in_the_file_is_warned_of() -> None:
    """As a literal API key is; a URL without one is none of a secret."""
    write(f"[store]\nurl = '{DATABASE}'")
    with pytest.warns(UserWarning, match="password of the database is stored in plain text"):
        hh.Client.from_config("etc/happyhorse.toml")

    write("[store]\nurl = 'postgresql:///videos?host=/run/postgresql'")
    hh.Client.from_config("etc/happyhorse.toml")


@pytest.mark.parametrize("name", ["url", "listen_url"])
def test_a_file_that_was_only_found_names_no_database(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could be that of a stranger, who would read the jobs. A variable is the user's own."""
    monkeypatch.chdir("etc")
    place = "" if name == "url" else "url_env = 'MY_DATABASE'\n"
    Path("happyhorse.toml").write_text(f"{PROVIDER}[store]\n{place}{name} = '{DATABASE}'")
    with pytest.raises(hh.ConfigurationError, match=f"store.{name}: puts the journal into a database, .*only found"):
        Settings.load()

    Path("happyhorse.toml").write_text(f"{PROVIDER}[store]\nurl_env = 'MY_DATABASE'")
    Settings.load()


def test_without_the_driver_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncpg is not installed with the library."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(hh.ConfigurationError, match=r"happyhorse-async\[postgres\]"):
        hh.PostgresStore(DATABASE)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[store]", "store.path is missing"),
        ("[store]\npath = ''", "store.path must name a file"),
        ("[store]\npath = ':memory:'", "store.path must name a file; to keep jobs in memory, leave"),
        ("[store]\npath = 5", "store.path: expected text, not a whole number"),
        ("[store]\npth = 'x'", "unknown key store.pth; did you mean path? known: busy_timeout, keep_closed,"),
        ("[store]\npath = 'x'\nkeep_prompts = -1", "store.keep_prompts must be a number of seconds, or inf"),
        ("[store]\npath = 'x'\nkeep_closed = nan", "store.keep_closed must be a number of seconds, or inf"),
        ("[store]\npath = 'x'\nkeep_closed = 1e11", "store.keep_closed must be a number of seconds, or inf"),
        ("[store]\npath = 'x'\nbusy_timeout = inf", "store.busy_timeout must be <= 3600: inf"),
        ("store = 'x'", "store: expected a table, not text"),
        ("[store]\npath = 'x'\nurl_env = 'DB'", "store.url_env cannot be combined with path"),
        ("[store]\npath = 'x'\nschema = 'y'", "store.schema cannot be combined with path"),
        ("[store]\nurl_env = 'DB'\nbusy_timeout = 1", "store.busy_timeout cannot be combined with url_env"),
        ("[store]\nurl_env = 'DB'\ntimeout = 0", "store.timeout must be > 0"),
        ("[store]\nurl_env = 'DB'\nlisten_url = 'x'\nlisten_url_env = 'y'", "cannot be combined"),
    ],
)
def test_what_is_wrong_is_named(text: str, sentence: str) -> None:
    """Everything wrong in the table is an error with the file and the key."""
    Path("etc/happyhorse.toml").write_text(text)

    with pytest.raises(hh.ConfigurationError) as raised:
        Settings.load("etc/happyhorse.toml")
    assert str(raised.value).startswith("etc/happyhorse.toml: ")
    assert sentence in str(raised.value)
