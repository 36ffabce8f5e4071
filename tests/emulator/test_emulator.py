"""Opening and closing the emulator, and its settings."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientConnectionError, ClientSession

from happyhorse_async.emulation import ProviderLimits, RateLimit
from happyhorse_async.emulator import Emulator
from happyhorse_async.errors import ConfigurationError
from happyhorse_async.registry import adapter_names, find_adapter

# A base URL of the emulator is a provider's name, followed by the path of its documented one.
ROOTS = {name: f"/{name}{urlsplit(find_adapter(name).default_base_url).path}" for name in adapter_names()}


async def test_every_provider_has_its_root_on_one_port(emulator: Emulator) -> None:
    """The base URLs end as the providers document them."""
    assert {name: emulator.address + path for name, path in ROOTS.items()} == {
        name: emulator.url(name) for name in ROOTS
    }
    assert set(ROOTS) <= set(emulator.providers)


async def test_the_emulator_names_itself(emulator: Emulator, http: ClientSession) -> None:
    """On its first page and in every response."""
    async with http.get(emulator.address) as page, http.get(emulator.url("hiapi") + "/v1/tasks") as answer:
        text = await page.text()

        assert {"happyhorse-emulator"} == {page.headers["Server"], answer.headers["Server"]}
    assert "test picture" in text
    assert all(emulator.url(name) in text for name in ROOTS)


async def test_an_unknown_prefix_is_a_404_that_names_the_known_ones(emulator: Emulator, http: ClientSession) -> None:
    """A client with a wrong base URL is shown the right ones."""
    async with http.post(emulator.address + "/v1/tasks") as response:
        text = await response.text()

    assert 404 == response.status
    assert emulator.url("hiapi") in text


async def test_video_urls_have_the_host_of_the_request(emulator: Emulator, http: ClientSession) -> None:
    """A client that uses another name gets URLs with that name."""
    address = emulator.address.replace("127.0.0.1", "localhost")
    headers = {"Authorization": "Bearer sk-any", "Host": address.removeprefix("http://")}
    content = {"model": "happyhorse-1.0-t2v", "prompt": "a kite"}
    async with http.post(emulator.url("nexusflow") + "/v1/tasks", json=content, headers=headers) as response:
        task_id = (await response.json())["id"]

    async with http.get(f"{emulator.url('nexusflow')}/v1/tasks/{task_id}", headers=headers) as response:
        url = (await response.json())["output"]["video_url"]

    assert url.startswith(f"{address}/videos/")


async def test_the_port_is_free_again_afterwards(http: ClientSession) -> None:
    """After closing nothing listens, and it can be opened again on the same port."""
    emulator = Emulator()
    async with emulator:
        address, url = emulator.address, emulator.url("hiapi")
    with pytest.raises(ClientConnectionError):
        await http.get(address)
    with pytest.raises(RuntimeError, match="not running"):
        emulator.url("hiapi")

    port = int(address.rpartition(":")[2])
    async with Emulator(port=port) as again:
        assert url == again.url("hiapi")


async def test_it_cannot_be_opened_twice_at_once(emulator: Emulator) -> None:
    """The second attempt is an error and does not affect the first."""
    with pytest.raises(RuntimeError, match="already running"):
        await emulator.__aenter__()

    assert emulator.address


async def test_an_unknown_provider_is_a_configuration_error(emulator: Emulator) -> None:
    """The error names the known providers."""
    with pytest.raises(ConfigurationError, match="nexusflow"):
        emulator.url("unknown")


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_an_impossible_speed_is_a_configuration_error(speed: float) -> None:
    """The speed must be a positive number."""
    with pytest.raises(ConfigurationError, match="speed"):
        Emulator(speed=speed)


async def test_only_its_key_is_accepted(http: ClientSession) -> None:
    """With `api_key` the emulator refuses any other."""
    async with Emulator(api_key="sk-right") as emulator:
        statuses: list[int] = []
        for key in ("sk-wrong", "sk-right"):
            headers = {"Authorization": f"Bearer {key}"}
            async with http.get(emulator.url("nexusflow") + "/v1/tasks", headers=headers) as response:
                statuses.append(response.status)

    assert [401, 200] == statuses


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (False, [200, 200]),
        ({}, [200, 200]),
        ({"hiapi": ProviderLimits(rates=(RateLimit(count=1, seconds=600),))}, [200, 429]),
    ],
)
async def test_rate_limits_can_be_set(
    http: ClientSession, limits: bool | dict[str, ProviderLimits], expected: list[int]
) -> None:
    """By default there are none; a mapping sets them for single providers."""
    async with Emulator(speed=1, limits=limits) as emulator:
        statuses: list[int] = []
        for _ in range(2):
            headers = {"Authorization": "Bearer sk-any"}
            async with http.get(emulator.url("hiapi") + "/v1/tasks", headers=headers) as response:
                statuses.append(response.status)

    assert expected == statuses


async def test_published_rate_limits_can_be_switched_on(http: ClientSession) -> None:
    """DashScope's twenty-first query within a second is refused."""
    async with Emulator(speed=0.01, limits=True) as emulator:
        statuses: list[int] = []
        for _ in range(21):
            headers = {"Authorization": "Bearer sk-any"}
            async with http.get(emulator.url("dashscope") + "/tasks/x", headers=headers) as response:
                statuses.append(response.status)

    assert [200] * 20 + [429] == statuses


def run_python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=150)
    return done.stdout


def test_importing_it_loads_neither_aiohttp_nor_the_video_libraries() -> None:
    """An import stays light, and works where the extra is not installed."""
    loaded = run_python(
        "import sys; import happyhorse_async.emulator;"
        "print([name for name in ('aiohttp', 'av', 'PIL') if name in sys.modules])"
    )

    assert "[]" == loaded.strip()


def fetch_without(missing: str, options: str = "") -> str:
    """Make a task in a process that lacks a library, and return the status and the beginning of its video."""
    return run_python(
        f"""
import asyncio, sys
sys.modules[{missing!r}] = None
from aiohttp import ClientSession
from happyhorse_async.emulator import SimulatedTask, Emulator, Scenario

async def main():
    scenario = Scenario(choose=lambda request, number: SimulatedTask(queue=0, run=0))
    http = ClientSession(headers={{"Authorization": "Bearer x"}})
    async with Emulator(scenario=scenario{options}) as emulator, http:
        url = emulator.url("nexusflow") + "/v1/tasks"
        async with http.post(url, json={{"model": "happyhorse-1.0-t2v", "prompt": "a kite"}}) as response:
            task = await response.json()
        async with http.get(url + "/" + task["id"]) as response:
            task = await response.json()
        async with http.get(task["output"]["video_url"]) as response:
            print(response.status, (await response.read())[:400])

asyncio.run(main())
"""
    )


@pytest.mark.parametrize("missing", ["av", "PIL"])
def test_without_the_extra_a_video_is_a_clear_error(missing: str) -> None:
    """Tasks work without the libraries, and fetching a video says what to install."""
    answer = fetch_without(missing)

    assert answer.startswith("501 ")
    assert "pip install 'happyhorse-async[emulator]'" in answer


@pytest.mark.parametrize("missing", ["av", "PIL"])
def test_without_the_extra_a_prepared_video_can_be_served(missing: str) -> None:
    answer = fetch_without(missing, ", prepared_video=True")

    assert answer.startswith("200 ")
    assert "ftypisom" in answer
