"""What can be an API key, an address, and the bytes of a configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from happyhorse_async.errors import ConfigurationError
from happyhorse_async.settings import KeySource, Settings, check_api_key, check_url


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
