"""The table `[engine]`: what runs enqueued jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import happyhorse_async as hh
from happyhorse_async.config import Settings

PROVIDER = "[providers.hiapi]\nbase_url = 'http://127.0.0.1:9'\napi_key_env = 'MY_KEY'\n"


@pytest.fixture(autouse=True)
def rooms(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a key."""
    monkeypatch.setenv("MY_KEY", "any")


def write(text: str) -> Path:
    """Write a configuration file that has to be named."""
    file = Path("app.toml")
    file.write_text(PROVIDER + text)
    return file


def test_the_table_makes_a_client_with_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the table has is the engine's."""
    monkeypatch.setenv("WORKFLOWS", "sqlite:///workflows.sqlite")
    file = write("[engine]\nkind = 'dbos'\nurl_env = 'WORKFLOWS'\nname = 'videos'\nconcurrency = 5\n")

    hh.Client.from_config(file)

    engine = Settings.load(file).engine
    assert engine is not None
    assert "sqlite:///workflows.sqlite" == engine.database()
    assert {"name": "videos", "concurrency": 5} == engine.options


async def test_an_engine_without_a_store_is_refused_when_the_client_opens() -> None:
    """Jobs that are recorded in memory cannot be run by other processes."""
    file = write("[engine]\nkind = 'dbos'\nurl = 'sqlite:///workflows.sqlite'\n")

    with pytest.raises(hh.ConfigurationError, match="store that lasts"):
        async with hh.Client.from_config(file):
            pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = 'celery'", "there is no engine 'celery'; known: dbos"),
        ("url = 'sqlite:///x'", "kind"),
        ("kind = 'dbos'\nurl = 'sqlite:///x'\nurl_env = 'X'", "url_env and url cannot be combined"),
        ("kind = 'dbos'\nconcurrency = 0", "concurrency"),
        ("kind = 'dbos'\npolling_interval = 0", "polling_interval"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(text: str, message: str) -> None:
    """It is found when the file is read."""
    file = write(f"[engine]\n{text}\n")

    with pytest.raises(hh.ConfigurationError) as caught:
        Settings.load(file)

    assert str(file) in caught.value.message
    assert message in caught.value.message


def test_a_variable_that_is_not_set_is_named() -> None:
    """Nothing else could be meant."""
    file = write("[engine]\nkind = 'dbos'\nurl_env = 'WORKFLOWS'\n")

    with pytest.raises(hh.ConfigurationError, match=r"engine\.url_env: the environment variable WORKFLOWS is not set"):
        hh.Client.from_config(file)


def test_a_file_that_was_merely_found_names_no_database() -> None:
    """The workflows of the user do not go to a stranger's database."""
    Path("happyhorse.toml").write_text(PROVIDER + "[engine]\nkind = 'dbos'\nurl = 'postgresql://stranger/x'\n")

    with pytest.raises(hh.ConfigurationError, match="puts the workflows into a database"):
        Settings.load()


def test_the_configuration_shows_no_password() -> None:
    """Neither does the repr, and the client warns that the file holds it."""
    file = write("[engine]\nkind = 'dbos'\nurl = 'postgresql://me:s3cr3t@localhost/x'\n")
    settings = Settings.load(file)

    assert "s3cr3t" not in json.dumps(settings.resolved()) + repr(settings)
    with pytest.warns(UserWarning, match="url_env instead"):
        hh.Client.from_config(settings)
