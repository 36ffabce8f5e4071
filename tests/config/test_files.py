"""The configuration: where it is found, what it may hold, and how it says what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from happyhorse_async.client import Client
from happyhorse_async.config import Settings
from happyhorse_async.errors import ConfigurationError

from .configuration import SECRET, write

MAIN = """
    [providers.main]
    adapter = "dashscope"
"""


def test_a_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every documented key arrives where it belongs."""
    monkeypatch.setenv("MY_KEY", SECRET)
    write("""
        default = "main"
        proxy = "http://proxy.example:3128"

        [providers.main]
        adapter = "dashscope"
        region = "beijing"
        api_key_env = "MY_KEY"
        options = { workspace = "ws-1" }

        [providers.backup]
        adapter = "hiapi"
        api_key_env = "OTHER_KEY"
        base_url = "https://hiapi.example"
        callback_url = "https://app.example/hooks/hiapi?tenant=1"
        proxy = "env"

        [poll]
        interval = 2
        not_found_retries = 3

        [limits]
        queries_per_second = 7.5
        max_concurrent_downloads = 2
    """)
    settings = Settings.load("happyhorse.toml")
    main = settings.choose()
    backup = settings.providers["backup"]

    assert Path("happyhorse.toml") == settings.path
    assert ("main", "dashscope", "beijing", None) == (main.name, main.adapter, main.region, main.base_url)
    assert {"workspace": "ws-1"} == main.options
    assert SECRET == main.api_key
    assert ("hiapi", "https://hiapi.example") == (backup.adapter, backup.base_url)
    assert ("http://proxy.example:3128", "env") == (main.proxy, backup.proxy)
    assert "https://app.example/hooks/hiapi?tenant=1" == backup.callback_url
    assert (2, 3) == (settings.poll.interval, settings.poll.not_found_retries)
    assert (7.5, 2) == (settings.limits.queries_per_second, settings.limits.max_concurrent_downloads)
    assert settings.limits.submits_per_second is None


def test_without_a_file_an_adapter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, the name of an adapter and the key in its own variable are enough."""
    monkeypatch.setenv("NEXUSFLOW_API_KEY", SECRET)
    chosen = Settings.load().choose("nexusflow")

    assert ("nexusflow", "nexusflow", SECRET) == (chosen.name, chosen.adapter, chosen.api_key)


def test_without_a_file_the_environment_names_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    """HAPPYHORSE_PROVIDER names an adapter where there is no file."""
    monkeypatch.setenv("HIAPI_API_KEY", SECRET)
    monkeypatch.setenv("HAPPYHORSE_PROVIDER", "hiapi")

    assert "hiapi" == Settings.load().choose().adapter


def test_without_anything_the_error_says_what_to_do() -> None:
    """With neither file nor environment, the error names the ways to choose and the adapters."""
    with pytest.raises(ConfigurationError, match=r"HAPPYHORSE_PROVIDER.*happyhorse\.toml.*dashscope, .*hiapi, imini"):
        Settings.load().choose()


def test_the_order_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, then HAPPYHORSE_CONFIG, then happyhorse.toml, then pyproject.toml."""
    write("[tool.happyhorse.providers.in-project]\nadapter = 'hiapi'", "pyproject.toml")
    found = [Settings.load()]
    write("[providers.in-directory]\nadapter = 'hiapi'")
    found.append(Settings.load())
    write("[providers.in-environment]\nadapter = 'hiapi'", "elsewhere/one.toml")
    monkeypatch.setenv("HAPPYHORSE_CONFIG", "elsewhere/one.toml")
    found.append(Settings.load())
    write("[providers.in-argument]\nadapter = 'hiapi'", "elsewhere/two.toml")
    found.append(Settings.load("elsewhere/two.toml"))

    names = [next(iter(settings.providers)) for settings in found]
    assert ["in-project", "in-directory", "in-environment", "in-argument"] == names


def test_a_pyproject_without_our_table_is_no_configuration() -> None:
    """A project that uses other tools only is not configured by its pyproject.toml."""
    write("[tool.other]\nx = 1", "pyproject.toml")

    assert Settings.load().path is None
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml: the file has no table \[tool\.happyhorse\]"):
        Settings.load("pyproject.toml")


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch, by_environment: bool) -> None:
    """A file that is named and not there is an error, and no other file takes its place."""
    write(MAIN)
    if by_environment:
        monkeypatch.setenv("HAPPYHORSE_CONFIG", "missing.toml")

    with pytest.raises(ConfigurationError, match=r"missing\.toml: .*No such file"):
        Settings.load(None if by_environment else "missing.toml")


def test_the_order_of_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, then HAPPYHORSE_PROVIDER, then default."""
    monkeypatch.setenv("HIAPI_API_KEY", SECRET)
    write("""
        default = "one"
        [providers.one]
        adapter = "hiapi"
        [providers.two]
        adapter = "hiapi"
        [providers.three]
        adapter = "hiapi"
    """)
    settings = Settings.load()
    by_default = settings.choose()
    monkeypatch.setenv("HAPPYHORSE_PROVIDER", "two")

    assert "one" == by_default.name
    assert "two" == settings.choose().name
    assert "three" == settings.choose("three").name


def test_the_only_section_needs_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """One section alone is chosen; of two, one must be named."""
    monkeypatch.setenv("HIAPI_API_KEY", SECRET)
    write("[providers.hiapi]")
    alone = Settings.load().choose()
    write("[providers.hiapi]\n[providers.imini]")

    assert ("hiapi", "hiapi") == (alone.name, alone.adapter)
    with pytest.raises(ConfigurationError, match=r"no provider is chosen: .* happyhorse\.toml; known: hiapi, imini"):
        Settings.load().choose()


def test_a_file_without_sections_leaves_the_adapters() -> None:
    """A file may set the polling alone; adapters are then chosen by name, also by its default."""
    write("default = 'hiapi'\n[poll]\ninterval = 1")
    settings = Settings.load()

    assert 1 == settings.poll.interval
    with pytest.raises(ConfigurationError, match="hiapi: the environment variable HIAPI_API_KEY is not set"):
        settings.choose()


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_provider_that_has_no_section(monkeypatch: pytest.MonkeyPatch, by_environment: bool) -> None:
    """With sections in the file, only they can be chosen; a slip of the finger is recognised."""
    write(MAIN)
    if by_environment:
        monkeypatch.setenv("HAPPYHORSE_PROVIDER", "mian")

    with pytest.raises(ConfigurationError, match=r"\[providers\.mian\] in happyhorse\.toml; did you mean main\?"):
        Settings.load().choose(None if by_environment else "mian")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[providers.main]\nadapter = 'hiapi'\nregoin = 'x'",
            "unknown key providers.main.regoin; did you mean region?",
        ),
        (
            "[provider.main]",
            "unknown key provider; did you mean providers? known: budget, default, engine, limits, poll, providers",
        ),
        ("[poll]\nintervall = 3", "unknown key poll.intervall; did you mean interval?"),
        ("[limits]\nshared = {}", "unknown key limits.shared; known: max_concurrent_downloads"),
        ("[poll]\ninterval = -1", "poll.interval must be a number of at least 0"),
        ("[poll]\ninterval = '3'", "poll.interval: expected a number, not text"),
        ("[poll]\ninterval = true", "poll.interval: expected a number, not true or false"),
        ("[poll]\nnot_found_retries = 2.5", "poll.not_found_retries: expected a whole number, not a number"),
        ("poll = 3", "poll: expected a table, not a whole number"),
        ("providers = []", "providers: expected a table, not a list"),
        ("[providers]\nmain = 'dashscope'", "providers.main: expected a table, not text"),
        ("default = 1", "default: expected text, not a whole number"),
        ("default = 'mian'\n[providers.main]\nadapter = 'hiapi'", "default: there is no [providers.mian]"),
        ("[providers.Main]\nadapter = 'hiapi'", "providers.Main: the name of a provider is made of a-z, 0-9, _ and -"),
        ("[providers.main]", "providers.main.adapter is missing; known: dashscope, "),
        (
            "[providers.main]\nadapter = 'hiappi'",
            "providers.main.adapter: there is no adapter 'hiappi'; did you mean hia",
        ),
        ("[providers.hiapi]\nadapter = 'imini'", "providers.hiapi.adapter: a section named after the adapter hiapi"),
        (
            "[providers.dashscope]\nregion = 'singapor'",
            "providers.dashscope.region: dashscope has no region 'singapor'",
        ),
        ("[providers.dashscope]\nregion = 'singapor'", "did you mean singapore?"),
        ("[providers.hiapi]\nregion = 'singapore'", "providers.hiapi.region: hiapi has no region 'singapore'"),
        (
            "[providers.dashscope.options]\nworkspcae = 'x'",
            "options.workspcae: dashscope has no such option; did you mea",
        ),
        ("[providers.hiapi]\noptions = 'x'", "providers.hiapi.options: expected a table, not text"),
        ("[providers.hiapi]\nbase_url = 'hiapi.example'", "providers.hiapi.base_url: expected an http:// or https://"),
        (
            "[providers.hiapi]\nbase_url = 'https://h.example/?a=b'",
            "hiapi.base_url: the root of an API has no q",
        ),
        ("[providers.hiapi]\ncallback_url = '/hook'", "providers.hiapi.callback_url: expected an http:// or https://"),
        (
            "[providers.imini]\ncallback_url = 'https://a.example'",
            "providers.imini.callback_url: imini has no callbacks",
        ),
        (
            "[providers.hiapi]\nbase_url = 'http://hiapi.example'",
            "base_url: plain http:// would send the API",
        ),
        ("[providers.hiapi]\nproxy = 'proxy:3128'", "providers.hiapi.proxy: expected the http:// or https:// URL of a"),
        ("proxy = 'socks5://127.0.0.1:1080'", "proxy: SOCKS proxies need a connector"),
        ("[retries.submit]\nmax_retrys = 1", "unknown key retries.submit.max_retrys; did you mean max_retries?"),
        ("[retries.submit]", "retries.submit.max_retries is missing"),
        ("[providers.'ha ha']\nregion = 1", "providers.(5 characters).region: expected text"),
        ("[providers.hiapi]\napi_key = 5", "providers.hiapi.api_key: expected text, not a whole number"),
        ("[providers.hiapi]\napi_key = ''", "providers.hiapi.api_key: the API key is empty"),
        (
            "[providers.hiapi]\napi_key_env = 'A'\napi_key_file = 'b'",
            "providers.hiapi: only one of api_key_env, api_key_file can be set",
        ),
        ("[providers.main", "is not readable TOML"),
        ("default = 'a'\ndefault = 'b'", "is not readable TOML"),
    ],
)
def test_what_is_wrong_is_named(text: str, sentence: str) -> None:
    """Everything wrong in the file is an error with the file, the key and the known choices."""
    write(text)

    with pytest.raises(ConfigurationError) as raised:
        Settings.load("happyhorse.toml")
    assert str(raised.value).startswith("happyhorse.toml: ")
    assert sentence in str(raised.value)


SECRETS = (
    SECRET,
    "sk_never_to_be_seen",
    "0a1b2c3d-0000-4444-8888-0123456789ab:feedfacefeedface",
    "AKIAIOSFODNN7EXAMPLE",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "text",
    [
        "default = '{}'\n[providers.hiapi]",
        "'{}' = 1",
        "[providers.hiapi]\n'{}' = 1",
        "[providers.'{}']\nadapter = 'hiapi'\nregion = 1",
        "[providers.'{}']\nadapter = 'nothing'",
        "[providers.'{}']",
        "[providers.main]\nadapter = '{}'",
        "[providers.dashscope]\nregion = '{}'",
        "[providers.dashscope]\noptions = {{ '{}' = 1 }}",
        "[providers.dashscope]\noptions = {{ workspace = 'no {}' }}",
        "[providers.hiapi]\nbase_url = '{}'",
        "[providers.hiapi]\nproxy = '{}'",
        "[providers.hiapi]\n[engine]\nkind = '{}'",
        "[providers.hiapi]\n[routing]\norder = ['{}']",
        "[providers.hiapi]\n[routing]\norder = ['hiapi']\nstrategy = '{}'",
        "[providers.hiapi]\n[budget]\nlimit = '1 USD'\nper = '{}'",
        "[providers.hiapi]\n[budget]\nlimit = '{}'",
    ],
)
def test_a_key_in_the_wrong_place_is_not_quoted(text: str, secret: str) -> None:
    """A key that was pasted as a name, a region or a URL does not appear in the error."""
    write(text.format(secret))

    with pytest.raises(ConfigurationError) as raised:
        Settings.load("happyhorse.toml")
    assert secret not in str(raised.value)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_in_place_of_a_variable_is_not_quoted(secret: str) -> None:
    """The error about a variable that is not set shows nothing that may be a key."""
    write(f"[providers.hiapi]\n[store]\nurl_env = '{secret}'")

    with pytest.raises(ConfigurationError, match="is not set") as raised:
        Client.from_config("happyhorse.toml")
    assert secret not in str(raised.value)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_in_place_of_a_provider_is_not_quoted(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """A key in HAPPYHORSE_PROVIDER or in the argument does not appear in the error."""
    write(MAIN)
    monkeypatch.setenv("HAPPYHORSE_PROVIDER", secret)
    for provider in (None, secret):
        with pytest.raises(ConfigurationError, match="known: main") as raised:
            Settings.load().choose(provider)
        assert secret not in str(raised.value)


def test_a_file_that_is_nested_too_deeply() -> None:
    """Thousands of brackets are a bad file, not a crash."""
    write(f"default = {'[' * 5000}{']' * 5000}")

    with pytest.raises(ConfigurationError, match=r"happyhorse\.toml: the configuration is nested too deeply"):
        Settings.load()


@pytest.mark.parametrize("named", [None, "happyhorse.toml"])
def test_a_fifo_is_not_a_configuration(named: str | None) -> None:
    """A FIFO would block for ever; it is refused before it is opened."""
    os.mkfifo("happyhorse.toml")

    with pytest.raises(ConfigurationError, match="must be a regular file"):
        Settings.load(named)


def test_the_type_of_a_table_is_checked_every_time() -> None:
    """The check does not depend on what was read before."""
    for _ in range(2):
        write("[providers.hiapi]\noptions = { storage = 'persistent' }")
        Settings.load()
        write("[providers.dashscope]\noptions = []")
        with pytest.raises(ConfigurationError, match=r"providers\.dashscope\.options: expected a table, not a list"):
            Settings.load()


def test_a_project_names_its_table_in_errors() -> None:
    """The configuration of a project is checked like any other."""
    write("[tool.happyhorse.poll]\nintervall = 1", "pyproject.toml")

    with pytest.raises(ConfigurationError, match=r"pyproject\.toml: unknown key poll\.intervall"):
        Settings.load()
