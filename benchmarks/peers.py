"""
The clients of others: each from its own package, called as its documentation shows, in its own wire format.

Their retries, backoff and connection pools are unchanged. They poll every second where that can be set; what had to be
patched, or cannot be set, is listed in `docs/benchmarks.md`. Clients that are not installed are left out.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

from clients import Caller, Calls, LostError

_MODEL = "happyhorse-1.1-t2v"
_INTERVAL = 1.0


class Peer(Caller):
    """A client of others."""

    package: ClassVar[str]
    """Its distribution."""
    module: ClassVar[str]
    """The module whose import takes time."""

    def prepare(self) -> None:
        importlib.import_module(self.module)

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module.partition(".")[0]) is not None


class DashScopeClass(Peer):
    """The vendor's SDK, the class that its users know, with asyncio and fixed intervals: `AioVideoSynthesis.call`."""

    package = "dashscope"
    module = "dashscope.aigc.video_synthesis"

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import dashscope  # noqa: PLC0415 - takes longer than all the rest
        from dashscope.aigc.video_synthesis import AioVideoSynthesis  # noqa: PLC0415

        dashscope.base_http_api_url, dashscope.api_key = base_url, "any"

        async def generate(prompt: str) -> str:
            return _result(await AioVideoSynthesis.call(model=_MODEL, prompt=prompt))

        yield Calls(generate, AioVideoSynthesis.fetch)
        await dashscope.close_shared_aio_session()


class DashScopeThreads(Peer):
    """The same, blocking, with a thread for each job: `VideoSynthesis.call`."""

    package = "dashscope"
    module = "dashscope.aigc.video_synthesis"

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import dashscope  # noqa: PLC0415
        from dashscope.aigc.video_synthesis import VideoSynthesis  # noqa: PLC0415

        dashscope.base_http_api_url, dashscope.api_key = base_url, "any"

        with _Threads() as threads:

            async def generate(prompt: str) -> str:
                return _result(await threads.run(lambda: VideoSynthesis.call(model=_MODEL, prompt=prompt)))

            yield Calls(generate, lambda task_id: threads.run(lambda: VideoSynthesis.fetch(task_id)))


class DashScopeClient(Peer):
    """
    The client of the vendor's SDK since version 2: `AsyncClient().videos.generate`.

    :param interval: seconds between queries; by default its own, 1 s to 8 s.
    """

    package = "dashscope"
    module = "dashscope.aigc.video_synthesis"

    def __init__(self, interval: float | None = None) -> None:
        self._intervals = {} if interval is None else {"poll_interval": interval, "max_interval": interval}

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import dashscope  # noqa: PLC0415

        async with dashscope.AsyncClient(base_url=base_url, api_key="any") as client:

            async def generate(prompt: str) -> str:
                done = await client.videos.generate(model=_MODEL, prompt=prompt, **self._intervals)
                return _ended(done.task_id, done.status, "SUCCEEDED")

            yield Calls(generate, client.videos.jobs.fetch)


class HiAPI(Peer):
    """HiAPI's own SDK, which only blocks: with a thread for each job, `client.tasks.run`."""

    wire_format = "hiapi"
    package = module = "hiapi"

    def __init__(self, *, keyed: bool = False) -> None:
        self._keyed = keyed

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import hiapi  # noqa: PLC0415

        client = hiapi.HiAPI(api_key="any", base_url=base_url)

        with _Threads() as threads:

            async def generate(prompt: str) -> str:
                order: dict[str, Any] = {"model": "happyhorse-1.1/text-to-video", "input": {"prompt": prompt}}
                if self._keyed:
                    order["idempotency_key"] = prompt
                task = await threads.run(lambda: client.tasks.run(**order, poll_interval=_INTERVAL))
                return _ended(task.task_id, task.status, "success")

            yield Calls(generate, lambda task_id: threads.run(lambda: client.tasks.retrieve(task_id)))


class Fal(Peer):
    """fal.ai's client: `AsyncClient().subscribe`."""

    wire_format = "fal"
    package, module = "fal-client", "fal_client"

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import fal_client  # noqa: PLC0415

        # The host can be set, the scheme cannot.
        fal_client.client.QUEUE_URL_FORMAT = f"{base_url}/"
        client = fal_client.AsyncClient(key="any")

        async def generate(prompt: str) -> str:
            done = await client.subscribe("a/video", {"prompt": prompt}, interval=_INTERVAL)
            return str(done["video"]["url"]).rpartition("/")[2].removesuffix(".mp4")

        async def poll(task_id: str) -> object:
            return await client.status("a/video", task_id)

        yield Calls(generate, poll)


class Replicate(Peer):
    """Replicate's client: `predictions.async_create`, then `async_wait`."""

    wire_format = "replicate"
    package = module = "replicate"

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import replicate  # noqa: PLC0415

        client = replicate.Client(api_token="any", base_url=base_url)
        client.poll_interval = _INTERVAL

        async def generate(prompt: str) -> str:
            made = await client.predictions.async_create(model="a/video", input={"prompt": prompt})
            await made.async_wait()
            return _ended(made.id, made.status, "succeeded")

        yield Calls(generate, client.predictions.async_get)


class Runway(Peer):
    """Runway's client: `text_to_video.create`, then `wait_for_task_output`."""

    wire_format = "runway"
    package = module = "runwayml"

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import runwayml  # noqa: PLC0415
        from runwayml.lib import polling  # noqa: PLC0415

        # They cannot be set otherwise, and are 6 s and 3 s.
        polling.POLL_TIME, polling.POLL_JITTER = _INTERVAL, 0.2

        async with runwayml.AsyncRunwayML(api_key="any", base_url=base_url) as client:

            async def generate(prompt: str) -> str:
                made = await client.text_to_video.create(
                    model="gen4.5", prompt_text=prompt, ratio="1280:720", duration=5
                )
                done = await made.wait_for_task_output()
                return _ended(done.id, done.status, "SUCCEEDED")

            yield Calls(generate, client.tasks.retrieve)


class OpenAI(Peer):
    """OpenAI's client: `videos.create_and_poll`."""

    wire_format = "openai"
    package = module = "openai"

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import openai  # noqa: PLC0415

        # It is the default of version 3, which litellm does not allow to be installed.
        make: Callable[[], Any] = getattr(openai, "DefaultAsyncHttpx2Client", lambda: None)

        async with openai.AsyncOpenAI(api_key="any", base_url=base_url, http_client=make()) as client:

            async def generate(prompt: str) -> str:
                done = await client.videos.create_and_poll(prompt=prompt, poll_interval_ms=int(_INTERVAL * 1000))
                return _ended(done.id, done.status, "completed")

            yield Calls(generate, client.videos.retrieve)


class LiteLLM(Peer):
    """LiteLLM, which has no wait function: `avideo_generation`, then `avideo_status` in a loop."""

    wire_format = "openai"
    package = module = "litellm"

    def prepare(self) -> None:
        # Without this the import asks the internet for prices.
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        super().prepare()

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import litellm  # noqa: PLC0415

        litellm.telemetry, litellm.suppress_debug_info = False, True
        account = {"api_base": base_url, "api_key": "any"}

        async def poll(task_id: str) -> Any:
            return await litellm.avideo_status(video_id=task_id, custom_llm_provider="openai", **account)

        async def generate(prompt: str) -> str:
            made = await litellm.avideo_generation(model="openai/sora-2", prompt=prompt, **account)
            while made.status in ("queued", "in_progress"):
                await asyncio.sleep(_INTERVAL)
                made = await poll(made.id)
            return _ended(_plain(made.id), made.status, "completed")

        yield Calls(generate, poll)


class GenAI(Peer):
    """Google's client, which has no wait function: `generate_videos`, then `operations.get` in a loop."""

    wire_format = "vertex"
    package, module = "google-genai", "google.genai"

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        from google import genai  # noqa: PLC0415
        from google.genai import types  # noqa: PLC0415

        options = types.HttpOptions(base_url=base_url)
        client = genai.Client(vertexai=True, api_key="any", http_options=options).aio
        model = "veo-3.1-generate-001"

        async def poll(task_id: str) -> Any:
            name = f"publishers/google/models/{model}/operations/{task_id}"
            return await client.operations.get(types.GenerateVideosOperation(name=name))

        async def generate(prompt: str) -> str:
            made = await client.models.generate_videos(model=model, source=types.GenerateVideosSource(prompt=prompt))
            while not made.done:
                await asyncio.sleep(_INTERVAL)
                made = await client.operations.get(made)
            return _ended(made.name.rpartition("/")[2], "video" if made.response else made.error, "video")

        yield Calls(generate, poll)
        await client.aclose()


class Luma(Peer):
    """Luma's client, which has no wait function: `generations.create`, then `generations.get` in a loop."""

    wire_format = "luma"
    package = module = "lumaai"

    @asynccontextmanager
    async def open(self, base_url: str) -> AsyncIterator[Calls]:
        import lumaai  # noqa: PLC0415

        async with lumaai.AsyncLumaAI(auth_token="any", base_url=base_url) as client:

            async def generate(prompt: str) -> str:
                made = await client.generations.create(model="ray-2", prompt=prompt)
                while made.state in ("queued", "dreaming"):
                    await asyncio.sleep(_INTERVAL)
                    made = await client.generations.get(made.id)
                return _ended(made.id, made.state, "completed")

            yield Calls(generate, client.generations.get)


PEERS: dict[str, Peer] = {
    "dashscope, class API": DashScopeClass(),
    "dashscope, client API": DashScopeClient(_INTERVAL),
    "hiapi": HiAPI(),
    "fal_client": Fal(),
    "replicate": Replicate(),
    "runwayml": Runway(),
    "openai": OpenAI(),
    "litellm + our loop": LiteLLM(),
    "google-genai + our loop": GenAI(),
    "lumaai + our loop": Luma(),
}


def installed() -> dict[str, Peer]:
    """Return the peers whose packages are installed, and name the others."""
    missing = sorted({peer.package for peer in PEERS.values() if not peer.installed})
    if missing:
        print(f"not installed, and left out: {', '.join(missing)}", flush=True)
    return {name: peer for name, peer in PEERS.items() if peer.installed}


class _Threads:
    """A thread for each call that blocks."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1000)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _result(response: Any) -> str:
    # It returns the error of a poll as if it were the outcome of the job.
    if response.status_code != 200:
        raise LostError(f"{response.status_code} {response.code}")
    output: Mapping[str, str] = response.output
    return _ended(output["task_id"], output["task_status"], "SUCCEEDED")


def _ended(task_id: object, status: object, good: str) -> str:
    if status != good:
        raise LostError(f"ended as {status}")
    return str(task_id)


def _plain(video_id: str) -> str:
    # It hides the provider and the model in the id.
    from litellm.types.videos.utils import extract_original_video_id  # noqa: PLC0415

    return str(extract_original_video_id(video_id))
