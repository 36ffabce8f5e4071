"""The configuration as it is shown: all that counts, and no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from happyhorse_async.config import Settings
from happyhorse_async.registry import adapter_names

from .configuration import SECRET, write


@pytest.mark.fault(86)
@pytest.mark.filterwarnings("ignore:.*the API key is stored in plain text")
def test_no_repr_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings can be logged."""
    monkeypatch.setenv("MY_KEY", SECRET)
    write(f"""
        [providers.main]
        adapter = "hiapi"
        api_key = "{SECRET}"
        [providers.other]
        adapter = "hiapi"
        api_key_env = "MY_KEY"
    """)
    settings = Settings.load()

    assert SECRET not in repr(settings)
    assert SECRET not in repr(settings.choose("main"))
    assert SECRET not in repr(settings.choose("other"))


@pytest.mark.filterwarnings("ignore:.*the API key is stored in plain text")
def test_resolved_shows_everything_but_secrets(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """The resolved configuration has the effective addresses, and in place of a key where it comes from."""
    monkeypatch.setenv("MY_KEY", SECRET)
    write(SECRET, "key")
    write(f"""
        default = "main"
        [providers.main]
        adapter = "dashscope"
        api_key_env = "MY_KEY"
        [providers.proxied]
        adapter = "hiapi"
        proxy = "http://user:password@proxy.example:3128"
        [providers.absent]
        adapter = "hiapi"
        [providers.filed]
        adapter = "hiapi"
        api_key_file = "key"
        callback_url = "https://app.example/hook?token=abc"
        [providers.literal]
        adapter = "hiapi"
        api_key = "{SECRET}"
        [poll]
        not_found_retries = 3
    """)
    resolved = Settings.load("happyhorse.toml").resolved()
    providers = resolved["providers"]

    assert SECRET not in json.dumps(resolved)
    assert (str(directory / "happyhorse.toml"), "main") == (resolved["file"], resolved["provider"])
    assert providers["main"] == {
        "adapter": "dashscope",
        "region": None,
        "base_url": "https://dashscope-intl.aliyuncs.com/api/v1",
        "options": {},
        "prices": {},
        "proxy": None,
        "callback_url": None,
        "callback_secret": None,
        "auto_adopt": False,
        "allow_private_hosts": False,
        "api_key": "environment MY_KEY (set)",
    }
    assert "environment HIAPI_API_KEY (not set)" == providers["absent"]["api_key"]
    assert "file key" == providers["filed"]["api_key"]
    assert "https://app.example/hook?***" == providers["filed"]["callback_url"]
    assert "written in the configuration file" == providers["literal"]["api_key"]
    assert "http://***@proxy.example:3128" == providers["proxied"]["proxy"]
    assert "password" not in repr(Settings.load("happyhorse.toml"))
    assert 3 == resolved["poll"]["not_found_retries"]
    assert resolved["poll"]["interval"] > 0
    assert resolved["limits"]["max_concurrent_queries"] > 0


def test_resolved_without_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file and a choice, every adapter is shown as it would be used."""
    resolved = Settings.load().resolved()

    assert resolved["file"] is None
    assert resolved["provider"] is None
    assert resolved["store"] is None
    assert set(adapter_names()) <= set(resolved["providers"])
    assert "environment HIAPI_API_KEY (not set)" == resolved["providers"]["hiapi"]["api_key"]
    assert resolved["poll"]["interval"] is None
