"""One client, many accounts: which one gets a job, and what is asked of each."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import happyhorse_async as hh

REQUEST = hh.TextToVideo("a train at night", resolution="720P", duration=3)
FILE = """
default = "main"

[poll]
interval = 0.05

[providers.main]
adapter = "dashscope"
api_key_env = "MAIN_KEY"
base_url = "{dashscope}"

[providers.backup]
adapter = "hiapi"
api_key_env = "BACKUP_KEY"
base_url = "{hiapi}"
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a configuration with two sections, whose addresses are those of an emulator, and more."""
    monkeypatch.setenv("MAIN_KEY", "sk-main")
    monkeypatch.setenv("BACKUP_KEY", "sk-backup")
    monkeypatch.delenv("HAPPYHORSE_PROVIDER", raising=False)

    def write(emulator: hh.Emulator, more: str = "") -> Path:
        file = tmp_path / "happyhorse.toml"
        urls = {name: emulator.url(name) for name in ("dashscope", "hiapi")}
        file.write_text(FILE.format(**urls) + more)
        return file

    return write


@pytest.fixture
def frame() -> bytes:
    """Return a picture that every provider takes."""

    image = pytest.importorskip("PIL.Image").effect_noise((640, 640), 10)
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def fast() -> hh.Emulator:
    return hh.Emulator(speed=600)


async def test_refs_of_every_section_work(write: Any, tmp_path: Path) -> None:
    """Whichever section is the default, tasks of all of them are resumed, fetched, listed and downloaded."""
    async with fast() as emulator:
        file = write(emulator)
        async with hh.Client.from_config(file) as client:
            refs = [(await client.submit(REQUEST, provider=name)).ref for name in ("main", "backup")]
        async with hh.Client.from_config(file, provider="backup") as client:
            tasks = [await client.resume(ref) for ref in refs]
            files = [await client.download(task, tmp_path / f"{task.provider}.mp4") for task in tasks]
            listed = [await client.list_tasks(provider=name) for name in ("main", "backup")]

    assert ["main", "backup"] == [task.provider for task in tasks]
    assert all(file.stat().st_size for file in files)
    assert [[ref] for ref in refs] == [[task.ref for task in page] for page in listed]


async def test_pending_and_health_are_about_all_accounts(write: Any) -> None:
    async with hh.Emulator(speed=1) as emulator, hh.Client.from_config(write(emulator)) as client:
        for name in ("main", "backup"):
            await client.submit(REQUEST, provider=name)
        pending, health = await client.pending(), await client.health()

    assert ["main", "backup"] == [job.provider for job in pending]
    assert {"main", "backup"} == set(health.accounts)
    assert all({hh.JobState.ACCEPTED: 1} == account.jobs for account in health.accounts.values())


async def test_an_account_without_a_key_is_not_missed_until_it_is_needed(
    write: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A key of another account than the default may be missing: that is logged, and an error when it is needed."""
    monkeypatch.delenv("BACKUP_KEY")
    async with fast() as emulator:
        with caplog.at_level(logging.WARNING):
            client = hh.Client.from_config(write(emulator))
        async with client:
            await client.generate(REQUEST)
            with pytest.raises(hh.ConfigurationError, match="BACKUP_KEY"):
                await client.submit(REQUEST, provider="backup")
            with pytest.raises(hh.ConfigurationError, match="BACKUP_KEY"):
                await client.resume("backup:tk-hiapi-1")

    assert "BACKUP_KEY" in caplog.text


async def test_a_missing_key_of_the_default_is_an_error(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAIN_KEY")
    async with fast() as emulator:
        with pytest.raises(hh.ConfigurationError, match="MAIN_KEY"):
            hh.Client.from_config(write(emulator))


async def test_the_file_routes(write: Any) -> None:
    """`[routing]` says who is next; a named provider is the only one."""
    async with fast() as emulator:
        file = write(emulator, '[routing]\norder = ["main", "backup"]\npatience = 0\n')
        emulator.inject("too-fast", on="submit", provider="dashscope", times=None)
        async with hh.Client.from_config(file) as client:
            assert "backup" == (await client.submit(REQUEST)).ref.provider
        async with hh.Client.from_config(file, provider="backup") as client:
            plan = client.plan(hh.TextToVideo("a"))

    assert ("backup", ()) == (plan.provider, plan.rejected)


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ('order = ["main", "other"]', "other"),
        ('order = "main"', "a list"),
        ('order = ["main", "main"]', "repeats"),
        ('strategy = "dearest"', "strategy"),
        ("patience = -1", "patience"),
        ('orders = ["main"]', "orders"),
    ],
)
async def test_mistakes_in_the_table_of_routing(write: Any, table: str, what: str) -> None:
    """Each is an error that names the file and the key."""
    async with fast() as emulator:
        file = write(emulator, f"[routing]\n{table}\n")
        with pytest.raises(hh.ConfigurationError, match=what) as raised:
            hh.Client.from_config(file)

    assert str(file) in str(raised.value)


@pytest.mark.parametrize(
    ("providers", "what"),
    [
        ([], "empty"),
        ([hh.Provider("hiapi", api_key="k"), hh.Provider("hiapi", api_key="k")], "twice"),
        ([hh.Provider("hiapi", adapter="dashscope", api_key="k")], "another name"),
        ([hh.Provider("nobody", api_key="k")], "nobody"),
        (["hiapi"], "Provider"),
    ],
)
def test_mistakes_in_a_list_of_providers(providers: Any, what: str) -> None:
    with pytest.raises(hh.ConfigurationError, match=what):
        hh.Client(providers)


def test_arguments_of_one_account_beside_several() -> None:
    """A key for all of them would go to the wrong ones."""
    with pytest.raises(hh.ConfigurationError, match="api_key"):
        hh.Client([hh.Provider("hiapi", api_key="k")], api_key="k")


def test_a_routing_names_what_is_there() -> None:
    with pytest.raises(hh.ConfigurationError, match="nobody"):
        hh.Client(hh.Provider("hiapi", api_key="k"), routing=hh.Routing(("nobody",)))


def _two(**routing: Any) -> hh.Client:
    accounts = [hh.Provider("a", adapter="dashscope", api_key="k"), hh.Provider("b", adapter="hiapi", api_key="k")]
    third = hh.Provider("c", adapter="imini", api_key="k")
    return hh.Client([*accounts, third], routing=hh.Routing(**routing))


def _rejected(plan: hh.Plan) -> dict[str, str]:
    return {one.provider: type(one.error).__name__ for one in plan.rejected}


def test_extra_fields_go_to_the_first_adapter_alone() -> None:
    """Other providers would not understand them."""
    plan = _two().plan(hh.TextToVideo("a", extra={"x": 1}))

    assert "a" == plan.provider
    assert {"b": "UnsupportedFeatureError", "c": "UnsupportedFeatureError"} == _rejected(plan)


def test_a_model_goes_to_the_adapter_that_knows_it() -> None:
    plan = _two(order=("b", "a", "c")).plan(hh.TextToVideo("a", model="happyhorse-1.1-t2v"))

    assert "a" == plan.provider
    assert {"b": "UnsupportedFeatureError", "c": "UnsupportedFeatureError"} == _rejected(plan)


def test_images_by_another_name_are_no_reason_to_change_the_prompt() -> None:
    """What the prompt calls an image is not translated: a provider that calls it otherwise cannot have the request."""
    request = hh.ReferenceToVideo("[Image 1] waves", ("https://media.example.org/a.png",))

    assert {"c": "UnsupportedFeatureError"} == _rejected(_two().plan(request))
    assert "character1" in " ".join(_two(order=("c", "a")).plan(request).warnings)


def test_another_version_is_a_warning() -> None:
    """A request that leaves the version open may be made with another one by the next account."""
    plan = _two(order=("b", "c")).plan(hh.TextToVideo("a", ratio="21:9"))
    other = _two(order=("c", "a")).plan(hh.TextToVideo("a", ratio="21:9"))

    assert "b" == plan.provider
    assert "a" == other.provider
    assert {"c"} == set(_rejected(other))


def test_what_no_account_takes() -> None:
    """A value that nobody has is an invalid request."""
    with pytest.raises(hh.InvalidRequestError):
        _two().plan(hh.TextToVideo("a", duration=2))


async def test_a_bad_picture_is_told_although_the_first_account_takes_no_pictures() -> None:
    """Of several refusals the one counts that the user can act on: a file that is no picture."""
    accounts = [hh.Provider(name, adapter=name, api_key="k") for name in ("hiapi", "dashscope")]
    async with hh.Client(accounts, routing=hh.Routing()) as client:
        with pytest.raises(hh.InvalidRequestError, match="GIF"):
            await client.enqueue(hh.ImageToVideo(b"GIF89a"))


def test_a_callback_url_names_its_account() -> None:
    """Each account has its own, and what the call says goes to whichever gets the job."""
    url = "https://app.example/hooks"
    accounts = [
        hh.Provider("a", adapter="hiapi", api_key="k", callback_url=f"{url}/a"),
        hh.Provider("b", adapter="hiapi", api_key="k", callback_url=f"{url}/b"),
    ]
    client = hh.Client(accounts)

    assert b"hooks/a?happyhorse_account=a&" in (client.plan(hh.TextToVideo("a")).messages[0].body or b"")
    assert b"hooks/b?happyhorse_account=b&" in (client.plan(hh.TextToVideo("a"), provider="b").messages[0].body or b"")


async def test_sections_with_the_same_key_and_address_are_one_account() -> None:
    """What is found out about the key of one holds for the other, and for no third."""
    async with fast() as emulator:
        url = emulator.url("hiapi")
        names = {"a1": "k-a", "a2": "k-a", "b": "k-b"}
        accounts = [hh.Provider(name, adapter="hiapi", api_key=key, base_url=url) for name, key in names.items()]
        emulator.inject("wrong-key", on="submit")
        async with hh.Client(accounts) as client:
            with pytest.raises(hh.AuthenticationError):
                await client.submit(REQUEST, provider="a1")
            for name in ("a2", "b"):
                with pytest.raises(hh.TaskNotFoundError):
                    await client.fetch(f"{name}:tk-none")
            health = await client.health()

    assert ["open", "open", "closed"] == [health.accounts[name].breaker for name in names]


async def test_local_media_travel_as_the_next_account_wants_them(frame: bytes) -> None:
    """A picture is prepared anew for each account, and sent once."""
    async with fast() as emulator:
        emulator.inject("no-money", on="submit", provider="imini", times=None)
        accounts = [
            hh.Provider("first", adapter="imini", api_key="k", base_url=emulator.url("imini")),
            hh.Provider("second", adapter="dashscope", api_key="k", base_url=emulator.url("dashscope")),
        ]
        async with hh.Client(accounts, routing=hh.Routing(), poll=hh.PollSchedule(interval=0.05)) as client:
            handles = [await client.enqueue(hh.ImageToVideo(frame)), await client.submit(hh.ImageToVideo(frame))]
            tasks = [await handle for handle in handles]
        billed = emulator.billed("dashscope")

    assert ["second", "second"] == [task.provider for task in tasks]
    assert 2 == billed
