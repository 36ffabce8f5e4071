"""What a configuration file may do that was only found in the current directory: lead no key to a stranger."""

from __future__ import annotations

from pathlib import Path

import pytest

import happyhorse_async as hh
from happyhorse_async.config import Settings, check_base_url
from happyhorse_async.config.trust import check_found_address
from happyhorse_async.errors import ConfigurationError
from happyhorse_async.registry import find_adapter

from .configuration import SECRET, write

FOREIGN = "https://collect.example"

REFUSED = {
    "the adapter's own variable": f"[providers.hiapi]\nbase_url = '{FOREIGN}'",
    "another variable": f"[providers.hiapi]\nbase_url = '{FOREIGN}'\napi_key_env = 'AWS_SECRET_ACCESS_KEY'",
    "a file of the home directory": f"[providers.hiapi]\nbase_url = '{FOREIGN}'\napi_key_file = '~/.token'",
    "a file beside it": f"[providers.hiapi]\nbase_url = '{FOREIGN}'\napi_key_file = 'key'",
    "a name that begins like loopback": "[providers.hiapi]\nbase_url = 'https://127.0.0.1.collect.example'",
    "a name that ends like the provider": "[providers.hiapi]\nbase_url = 'https://evil-api.hiapi.ai.example'",
    "another port of the provider": "[providers.hiapi]\nbase_url = 'https://api.hiapi.ai:8443'",
    "a further host": f"[providers.fal]\noptions = {{ rest_url = '{FOREIGN}' }}",
    "a host of keys": f"[providers.fal]\noptions = {{ jwks_url = '{FOREIGN}/keys' }}",
    "a private address": "[providers.hiapi]\nbase_url = 'http://10.0.0.5'",
    "a proxy": "proxy = 'http://collect.example:3128'",
    "a proxy in a section": "[providers.hiapi]\nproxy = 'http://127.0.0.1:3128'",
    "a webhook": "[providers.hiapi]\ncallback_url = 'https://collect.example/hook'",
    "private downloads": "[providers.hiapi]\nallow_private_hosts = true",
    "a store above": "[providers.hiapi]\n[store]\npath = '../jobs.sqlite'",
    "a store at home": "[providers.hiapi]\n[store]\npath = '~/jobs.sqlite'",
    "an absolute store": "[providers.hiapi]\n[store]\npath = '/var/tmp/jobs.sqlite'",
}

ACCEPTED = {
    "the documented root": "[providers.hiapi]\nbase_url = 'https://api.hiapi.ai/v1'",
    "a documented region": "[providers.dashscope]\nbase_url = 'https://dashscope.aliyuncs.com/api/v1'",
    "a documented further host": "[providers.fal]\noptions = { rest_url = 'https://rest.fal.ai' }",
    "the host of a workspace": "[providers.dashscope]\nbase_url = 'https://ws-1.eu-central-1.maas.aliyuncs.com/api/v1'",
    "this machine": "[providers.hiapi]\nbase_url = 'http://127.0.0.1:8080'",
    "this machine by name": "[providers.hiapi]\nbase_url = 'http://localhost:8080'",
    "a variable of one's own": "[providers.hiapi]\napi_key_env = 'TEAM_HIAPI_KEY'",
    "a key of the file's own": f"[providers.hiapi]\nbase_url = '{FOREIGN}'\napi_key = '{SECRET}'",
    "the user's proxy": "proxy = 'env'\n[providers.hiapi]",
    "a store beside it": "[providers.hiapi]\n[store]\npath = 'jobs.sqlite'",
    "a store below it": "[providers.hiapi]\n[store]\npath = 'state/jobs.sqlite'",
}


@pytest.fixture(autouse=True)
def home(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder below another one, with a home elsewhere."""
    for name in ("home", "project"):
        (directory / name).mkdir()
    monkeypatch.setenv("HOME", str(directory / "home"))
    monkeypatch.chdir(directory / "project")


@pytest.mark.parametrize("name", REFUSED)
def test_a_found_file_leads_nothing_to_strangers(name: str) -> None:
    """It is refused as a whole, with the key and the ways to name the file."""
    write(REFUSED[name])

    with pytest.raises(ConfigurationError, match="only found in the current directory") as raised:
        Settings.load()
    assert str(raised.value).startswith("happyhorse.toml: ")
    for way in ("--config happyhorse.toml", "HAPPYHORSE_CONFIG=happyhorse.toml", "from_config('happyhorse.toml')"):
        assert way in str(raised.value)


@pytest.mark.parametrize("name", sorted(REFUSED))
@pytest.mark.parametrize("by_environment", [False, True])
def test_a_named_file_may_do_it(monkeypatch: pytest.MonkeyPatch, name: str, by_environment: bool) -> None:
    """A file that the user has named is the user's own word."""
    file = write(REFUSED[name])
    if by_environment:
        monkeypatch.setenv("HAPPYHORSE_CONFIG", str(file))

    assert file == Settings.load(None if by_environment else file).path


def test_an_option_with_an_address_is_an_address() -> None:
    """Adapters may have options for further hosts that are sent the key."""
    adapter = find_adapter("hiapi")
    for value in ("https://collect.example", ["https://collect.example"]):
        with pytest.raises(ConfigurationError, match=r"here\.options\.rest_url: sends an API key"):
            check_found_address(None, {"rest_url": value}, adapter, where="here", file=Path("happyhorse.toml"))
    check_found_address(None, {"rest_url": "http://127.0.0.1:1"}, adapter, where="here", file=Path("happyhorse.toml"))


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_found_file_may_do_what_leads_nowhere_else(name: str) -> None:
    """Documented addresses, this machine, the user's own proxy and the file's own key are no danger."""
    write(ACCEPTED[name])

    assert Path("happyhorse.toml") == Settings.load().path


def test_a_found_project_file_is_no_better() -> None:
    """The table in pyproject.toml is found in the same way."""
    write(f"[tool.happyhorse.providers.hiapi]\nbase_url = '{FOREIGN}'", "pyproject.toml")

    with pytest.raises(ConfigurationError, match=r"pyproject\.toml: providers\.hiapi\.base_url: sends an API key"):
        Settings.load()


def test_a_link_to_a_file_elsewhere_is_only_found(directory: Path) -> None:
    """A found file is not trusted for the place that it links to."""
    write(REFUSED["another variable"], str(directory / "real.toml"))
    Path("happyhorse.toml").symlink_to(directory / "real.toml")

    with pytest.raises(ConfigurationError, match="only found in the current directory"):
        Settings.load()


def test_a_link_does_not_move_the_store(directory: Path) -> None:
    """A journal that a link leads out of the folder is outside of it."""
    write("[providers.hiapi]\n[store]\npath = 'state/jobs.sqlite'")
    Path("state").symlink_to(directory / "home")

    with pytest.raises(ConfigurationError, match="puts the journal outside the folder"):
        Settings.load()


@pytest.mark.parametrize(
    "url",
    [
        "http://collect.example", "http://8.8.8.8", "http://134744072", "http://0x8080808", "http://[2001:4860::8888]",
        "http://[::ffff:8.8.8.8]", "http://localhost.collect.example",
    ],
)  # fmt: skip
def test_no_key_goes_unencrypted_over_the_internet(url: str) -> None:
    """Plain http:// to a public address is refused, in a named file and in code, with the way out."""
    file = write(f"[providers.hiapi]\nbase_url = '{url}'")

    with pytest.raises(ConfigurationError, match=r"providers\.hiapi\.base_url: plain http:// .* use https://"):
        Settings.load(file)
    with pytest.raises(ConfigurationError, match=r"^base_url: plain http:// .* use https://"):
        hh.Client("hiapi", api_key=SECRET, base_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "http://10.1.2.3", "http://192.168.0.9",
        "http://emulator:8080", "http://gateway.internal", "http://api.video.svc", "http://nas.local.", "http://[fd00::1]",
        "https://collect.example", "http://100.64.0.1",
    ],
)  # fmt: skip
def test_private_addresses_take_plain_http(url: str) -> None:
    """An emulator, a container and a gateway at home need no certificate."""

    assert url == check_base_url(url, where="base_url")


@pytest.mark.parametrize("url", ["https://h.example/x?sig=1", "https://h.example/x#a"])
def test_a_base_url_is_checked_alike_in_code_and_file(url: str) -> None:
    """A query or fragment makes nonsense of every path, wherever the URL was given."""
    with pytest.raises(ConfigurationError, match="no query and no fragment"):
        hh.Client("hiapi", api_key=SECRET, base_url=url)
    with pytest.raises(ConfigurationError, match="no query and no fragment"):
        Settings.load(write(f"[providers.hiapi]\nbase_url = '{url}'"))


@pytest.mark.parametrize("proxy", ["proxy:3128", "socks5://127.0.0.1:1", "environment", "", "ftp://proxy"])
def test_a_proxy_that_cannot_be_one(proxy: str) -> None:
    """A proxy that cannot be used is an error when the client is made."""
    with pytest.raises(ConfigurationError, match=r"^proxy: "):
        hh.Client("hiapi", api_key=SECRET, proxy=proxy)
