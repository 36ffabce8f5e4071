"""Where API keys come from, and what can be one, an address, and the bytes of a configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from happyhorse_async.config import KeySource, Settings, check_api_key, check_url
from happyhorse_async.errors import ConfigurationError

from .configuration import SECRET, write


@pytest.mark.fault(87)
@pytest.mark.parametrize("key", ["", "  ", "sk-a b", "sk-a\n", "sk-a\r\nX-Evil: 1", "sk-ä", "sk-\x00", None, 7])
def test_a_key_that_cannot_be_one(key: object) -> None:
    """A key goes into a header: what could break out of it, or was copied badly, is refused without being shown."""
    with pytest.raises(ConfigurationError, match=r"^argument api_key: ") as raised:
        check_api_key(key, where="argument api_key")

    assert "sk-" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/api/v1", "https://api.example", "https://[::1]:1/x"])
def test_a_url(url: str) -> None:
    """Any http(s) URL with a host is one."""

    assert check_url(url, where="base_url") == url


@pytest.mark.parametrize(
    "url",
    [
        "api.example", "ftp://api.example", "https://", "https://api.example:port", "https://api.example/a b",
        "https://api.example/\n", "https://user:pass@api.example", "https://user@api.example", None, 7,
    ],
)  # fmt: skip
def test_what_is_no_url(url: object) -> None:
    """A URL without scheme or host, or with credentials in it, is refused without being shown."""
    with pytest.raises(ConfigurationError, match=r"^base_url: ") as raised:
        check_url(url, where="base_url")

    assert "api.example" not in str(raised.value)


def test_a_key_file_that_is_no_text(tmp_path: Path) -> None:
    """A file of other bytes is refused without being shown."""
    (tmp_path / "key").write_bytes(b"sk-\xff\xfe")
    source = KeySource(where="providers.main.api_key_file", file=tmp_path / "key")

    with pytest.raises(ConfigurationError, match=r"api_key_file: the file is not text in UTF-8$"):
        source.read()


def test_a_configuration_that_is_not_utf_8(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are reported without being shown."""
    file = tmp_path / "happyhorse.toml"
    file.write_bytes(b"default = '\xff'")

    with pytest.raises(ConfigurationError, match=r"happyhorse\.toml: .*it is not UTF-8$"):
        Settings.load(file)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    """Some editors begin a file with a byte order mark."""
    file = tmp_path / "happyhorse.toml"
    file.write_bytes(b"\xef\xbb\xbfdefault = 'hiapi'")

    assert "hiapi" == Settings.load(file).default


def test_a_key_file_lies_beside_the_configuration() -> None:
    """A relative api_key_file begins at the configuration file, and its last line break is not part of the key."""
    write("[providers.hiapi]\napi_key_file = 'secrets/key'", "etc/happyhorse.toml")
    write(f"{SECRET}\n", "etc/secrets/key")

    assert SECRET == Settings.load("etc/happyhorse.toml").choose().api_key


def test_a_key_file_that_is_missing() -> None:
    """A missing key file names the setting and not its value, which may be a key in the wrong place."""
    write(f"[providers.hiapi]\napi_key_file = '{SECRET}'")

    with pytest.raises(ConfigurationError, match=r"providers\.hiapi\.api_key_file: .*No such file") as raised:
        Settings.load().choose()
    assert SECRET not in str(raised.value)


def test_a_key_in_the_file_works_and_warns() -> None:
    """A literal key is taken, with a warning that names file and section and not the key."""
    write(f"[providers.hiapi]\napi_key = '{SECRET}'")
    with pytest.warns(UserWarning, match=r"happyhorse\.toml: providers\.hiapi\.api_key") as warned:
        settings = Settings.load()

    assert SECRET == settings.choose().api_key
    assert SECRET not in str(warned[0].message)


@pytest.mark.parametrize("name", [SECRET, "sk_never_to_be_seen"])
def test_a_key_in_the_place_of_a_variable_name_is_not_shown(name: str) -> None:
    """Who writes the key itself into api_key_env does not see it in the error."""
    write(f"[providers.hiapi]\napi_key_env = '{name}'")

    with pytest.raises(ConfigurationError, match=r"happyhorse\.toml: providers\.hiapi\.api_key_env: ") as raised:
        Settings.load().choose()
    assert name not in str(raised.value)


def test_only_the_chosen_provider_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is not used may be without its secret."""
    monkeypatch.setenv("HIAPI_API_KEY", SECRET)
    write("[providers.hiapi]\n[providers.imini]")
    settings = Settings.load()

    assert SECRET == settings.choose("hiapi").api_key
    with pytest.raises(
        ConfigurationError,
        match=r"happyhorse\.toml: providers\.imini: the environment variable IMINI_API_KEY is not set",
    ):
        settings.choose("imini")


def test_a_key_in_the_environment_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a bad key names the variable."""
    monkeypatch.setenv("HIAPI_API_KEY", f"{SECRET} copied with a comment")

    with pytest.raises(ConfigurationError, match=r"environment variable HIAPI_API_KEY: .*holds a space") as raised:
        Settings.load().choose("hiapi")
    assert SECRET not in str(raised.value)
