"""The table `[store]`: where a client writes its jobs down."""

from __future__ import annotations

from pathlib import Path

import pytest

import happyhorse_async as hh
from happyhorse_async.config import Settings

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
    write("[store]\npath = 'jobs.sqlite'\nkeep_prompts = 1\nkeep_closed = 2.5\nbusy_timeout = 3")
    settings = Settings.load("etc/happyhorse.toml").store

    assert settings is not None
    assert set(hh.SQLiteStore.__init__.__annotations__) == {"path", "return", *settings.options}
    assert {"keep_prompts": 1, "keep_closed": 2.5, "busy_timeout": 3} == settings.options


def test_no_end_to_keeping(directory: Path) -> None:
    """`inf` keeps things for ever, which the store calls None; what is in force is shown."""
    write("[store]\npath = 'jobs.sqlite'\nkeep_closed = inf")
    settings = Settings.load("etc/happyhorse.toml")

    assert settings.store is not None
    assert {"keep_closed": None} == settings.store.options
    assert {"path": str(directory / "etc/jobs.sqlite"), "keep_closed": "for ever"} == settings.resolved()["store"]


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
    ],
)
def test_what_is_wrong_is_named(text: str, sentence: str) -> None:
    """Everything wrong in the table is an error with the file and the key."""
    Path("etc/happyhorse.toml").write_text(text)

    with pytest.raises(hh.ConfigurationError) as raised:
        Settings.load("etc/happyhorse.toml")
    assert str(raised.value).startswith("etc/happyhorse.toml: ")
    assert sentence in str(raised.value)
