"""Where API keys come from, and what can be one, an address, and the bytes of a configuration file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from happyhorse_async.config import KeySource, SecretSource, Settings, check_api_key, check_secret, check_url
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
        "api.example", "https:\\\\api.example", "https://127.0.0.1\\@api.example", "https://\uff41pi.example",
        "ftp://api.example", "https://", "https://api.example:port", "https://api.example/a b",
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
    write(f"[providers.hiapi]\napi_key = '{SECRET}'\n[providers.imini]\napi_key = '{SECRET}'")
    settings = Settings.load()
    with pytest.warns(UserWarning, match="stored in plain text") as warned:
        chosen = settings.choose("hiapi")

    [warning] = warned
    assert SECRET == chosen.api_key
    assert str(warning.message).startswith("happyhorse.toml: providers.hiapi.api_key: the API key is stored in plain")
    assert SECRET not in str(warning.message)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "hiapi.localhost"])
def test_a_key_for_this_machine_does_not_warn(host: str) -> None:
    """The key of an emulator on this machine is not a secret."""
    write(f"[providers.hiapi]\nbase_url = 'http://{host}:8080'\napi_key = 'emulator'")

    assert "emulator" == Settings.load().choose().api_key


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


COPIED_BADLY = {
    f'"{SECRET}"': "has quotation marks around it",
    f"'{SECRET}'": "has quotation marks around it",
    f"{SECRET}'": "has quotation marks around it",
    f"\u201c{SECRET}\u201d": "has quotation marks around it",
    f"{SECRET}\n": "has a line break before or after it",
    f"\r\n{SECRET}": "has a line break before or after it",
    f" {SECRET}": "holds a space before or after it",
    f"DASHSCOPE_API_KEY={SECRET}": "this is NAME=value",
    f"export HIAPI_API_KEY='{SECRET}": "this is NAME=value",
    f'{{"key": "{SECRET}"}}': "this is JSON",
    f"{SECRET}\\n": "ends with a backslash and a letter for a line break",
    "/run/secrets/dashscope_key": "this is where the",
    "~/.dashscope/api_key": "this is where the",
    "file:///run/secrets/key": "this is where the",
    "op://vault/item/key": "this is where the",
    "DASHSCOPE_API_KEY": "this is where the",
    "FAL_KEY": "this is where the",
    "${DASHSCOPE_API_KEY}": "this is a placeholder",
    "$DASHSCOPE_API_KEY": "this is a placeholder",
    "%HIAPI_API_KEY%": "this is a placeholder",
    "{{ secrets.key }}": "this is a placeholder",
    "<your key>": "this is a placeholder",
    "your-api-key": "this is a placeholder",
    "YOUR_API_KEY_HERE": "this is a placeholder",
    "sk-your-key": "this is a placeholder",
    "sk-xxx": "this is a placeholder",
    "sk-xxxx-xxxx": "this is a placeholder",
    "xxxxxxxx": "this is a placeholder",
    "***": "this is a placeholder",
    "change-me": "this is a placeholder",
    "paste-key-here": "this is a placeholder",
}


@pytest.mark.parametrize("text", COPIED_BADLY)
@pytest.mark.parametrize("check", [check_api_key, check_secret])
def test_a_badly_copied_key_or_secret_is_explained(check: Callable[..., str], text: str) -> None:
    """The error says what is wrong with it: quotes, line ends, a placeholder, NAME=value. It does not show it."""
    with pytest.raises(ConfigurationError, match=r"^here: ") as raised:
        check(text, where="here")

    assert COPIED_BADLY[text] in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "sk-3f9A_b+/==",
        "k",
        "any",
        "test",
        "emulator",
        "0123456789abcdef",
        "A1b2C3=",
        "yoursecretly",
        "uuid-1:hex",
        "/9j4/AAQ=",
        "a/b/c",
        "KEY_1",
    ],
)
@pytest.mark.parametrize("check", [check_api_key, check_secret])
def test_what_may_be_a_key_is_accepted(check: Callable[..., str], text: str) -> None:
    """Nothing that a provider might hand out is taken for a placeholder."""

    assert text == check(text, where="here")


def test_a_key_file_with_name_and_value(tmp_path: Path) -> None:
    """A .env file in place of a key file is explained, and its content not shown."""
    (tmp_path / "key").write_text(f"DASHSCOPE_API_KEY={SECRET}\n")

    with pytest.raises(ConfigurationError, match="this is NAME=value; only the API key itself") as raised:
        KeySource(where="api_key_file", file=tmp_path / "key").read()
    assert SECRET not in str(raised.value)


def test_secrets_in_a_file_are_one_to_a_line(tmp_path: Path) -> None:
    """Line ends, blank lines and spaces around secrets are not part of them."""
    (tmp_path / "secrets").write_text("\ufeffnew-secret \r\n\r\n  old secret\n\n")

    assert ("new-secret", "old secret") == SecretSource(where="here", file=tmp_path / "secrets").read_all()


def test_a_secret_in_a_variable_is_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret from an environment variable may end in a line break."""
    monkeypatch.setenv("HOOK_SECRET", "whsec\n")

    assert ("whsec",) == SecretSource(where="here", variable="HOOK_SECRET").read_all()
