"""
Local media on their way: how late the event loop is, how much memory they need, and how fast an upload is.

    python benchmarks/media.py

The bare client is aiohttp: it posts the same bytes to the same server, read and encoded beforehand, or as an open file.
"""

# The stubs of av leave the parameter of its Packet open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import statistics
import struct
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import av
from aiohttp import web
from PIL import Image

import happyhorse_async as hh
from figures import quantile
from harness import SPAWN

PICTURES = 20
VIDEO_SIZE = 100_000_000
_TICK = 0.002
_TASK = {"output": {"task_id": "t-1", "task_status": "RUNNING"}, "request_id": "r"}


class _Gateway:
    """Takes everything, and notes how long each body took to arrive."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def __call__(self, request: web.Request) -> web.Response:
        if request.path == "/seconds":
            return web.json_response(self.seconds)
        if request.path == "/uploads":
            fields = ("upload_dir", "policy", "signature", "oss_access_key_id")
            policy = {**dict.fromkeys(fields, "x"), "upload_host": f"http://{request.host}/store"}
            return web.json_response({"data": policy, "request_id": "r"})
        began = 0.0
        async for _ in request.content.iter_any():
            began = began or time.perf_counter()
        if request.path == "/store":
            self.seconds = time.perf_counter() - began
        return web.json_response(_TASK)


def _serve(address: Any) -> None:
    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", _Gateway())
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())


@contextlib.contextmanager
def _gateway() -> Iterator[str]:
    ours, theirs = SPAWN.Pipe()
    server = SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    yield f"http://127.0.0.1:{ours.recv()}"
    server.terminate()
    server.join()


def _client(url: str) -> hh.Client:
    options = {"inline_media": True}
    return hh.Client("dashscope", api_key="any", base_url=url, options=options, limits=hh.Limits(submits_per_second=50))


def make_media(folder: Path) -> None:
    """Write twenty JPEGs of about 9 MB, and a video of 100 MB, most of which is padding."""
    for number in range(PICTURES):
        noise = Image.effect_noise((2660, 2660), 100 + number).convert("RGB")
        noise.save(folder / f"{number}.jpg", "JPEG", quality=97)
    video = io.BytesIO()
    with av.open(video, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for number in range(40):
            frame = av.VideoFrame.from_image(Image.new("RGB", (640, 480)))
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    made = video.getvalue()
    (folder / "small.mp4").write_bytes(made)
    padding = VIDEO_SIZE - len(made)
    (folder / "clip.mp4").write_bytes(made + struct.pack(">I4s", padding, b"free") + bytes(padding - 8))


async def _lateness(work: Awaitable[object]) -> float:
    """Return the 99th percentile of how late a timer fires during *work*, in milliseconds."""
    found: list[float] = []
    running = asyncio.ensure_future(work)
    while not running.done():
        began = time.perf_counter()
        await asyncio.sleep(_TICK)
        found.append(time.perf_counter() - began - _TICK)
    await running
    return quantile(sorted(found), 0.99) * 1000


async def _post_all(url: str, bodies: list[bytes]) -> None:
    async with aiohttp.ClientSession() as session:

        async def post(body: bytes) -> None:
            async with session.post(url, data=io.BytesIO(body)) as response:
                await response.read()

        await asyncio.gather(*map(post, bodies))


def lag(url: str, folder: Path) -> dict[str, float]:
    """Measure how late the loop is: idle, with bare requests of the same size, and with ours."""

    async def measure() -> dict[str, float]:
        files = [folder / f"{number}.jpg" for number in range(PICTURES)]
        bodies = [bytes(4 * ((file.stat().st_size + 2) // 3)) for file in files]
        async with _client(url) as client:
            await client.submit(hh.TextToVideo("warm up"))
            idle = await _lateness(asyncio.sleep(3))
            bare = await _lateness(_post_all(url, bodies))
            ours = await _lateness(asyncio.gather(*(client.submit(hh.ImageToVideo(file)) for file in files)))
        return {"idle_p99_ms": idle, "bare_p99_ms": bare, "ours_p99_ms": ours}

    return asyncio.run(measure())


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _begin_peak() -> float:
    # Linux: the peak begins anew. That of getrusage() would be inherited from the parent.
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return _status("VmRSS")


def _peak(url: str, request: hh.VideoRequest, warm_up: hh.VideoRequest) -> float:
    """Return by how many bytes the peak of the process grows with *request*."""

    async def measure() -> float:
        async with _client(url) as client:
            await client.submit(warm_up)
            before = _begin_peak()
            await client.submit(request)
            return _status("VmHWM") - before

    return asyncio.run(measure())


def memory(url: str, folder: Path) -> dict[str, float]:
    """Measure the memory of a picture inside a request, in multiples of its file."""
    small = io.BytesIO()
    Image.new("RGB", (400, 400)).save(small, "JPEG")
    file = folder / "0.jpg"
    peak = _peak(url, hh.ImageToVideo(file), hh.ImageToVideo(small.getvalue()))
    return {"inline_memory": peak / file.stat().st_size}


def upload_memory(url: str, folder: Path) -> dict[str, float]:
    """Measure the memory of an upload, in MB."""
    peak = _peak(url, hh.VideoEdit("a", folder / "clip.mp4"), hh.VideoEdit("a", folder / "small.mp4"))
    return {"upload_memory_mb": peak / 1e6}


def rate(url: str, folder: Path) -> dict[str, float]:
    """Measure how fast a video arrives, beside a bare upload."""
    file = folder / "clip.mp4"

    async def bare(session: aiohttp.ClientSession) -> float:
        form = aiohttp.FormData()
        with file.open("rb") as content:
            form.add_field("file", content, filename="clip.mp4")
            async with session.post(f"{url}/store", data=form) as response:
                await response.read()
        return await _seconds(session)

    async def ours(session: aiohttp.ClientSession) -> float:
        async with _client(url) as client:
            await client.submit(hh.VideoEdit("a", file))
        return await _seconds(session)

    async def _seconds(session: aiohttp.ClientSession) -> float:
        async with session.get(f"{url}/seconds") as response:
            return float(json.loads(await response.read()))

    async def measure() -> dict[str, float]:
        async with aiohttp.ClientSession() as session:
            pairs = [(await bare(session), await ours(session)) for _ in range(3)]
        fastest, our_fastest = (min(found) for found in zip(*pairs, strict=True))
        return {"upload_mb_per_second": VIDEO_SIZE / our_fastest / 1e6, "upload_ratio": our_fastest / fastest}

    return asyncio.run(measure())


PARTS: tuple[Callable[[str, Path], dict[str, float]], ...] = (lag, memory, upload_memory, rate)


def measure(*, rounds: int) -> dict[str, float]:
    """Measure everything *rounds* times, each part in a new process, and return the medians."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, _gateway() as url:
        folder = Path(name)
        make_media(folder)
        for _ in range(rounds):
            for part in PARTS:
                with SPAWN.Pool(1) as pool:
                    for figure, value in pool.apply(part, (url, folder)).items():
                        found.setdefault(figure, []).append(value)
    medians = {figure: round(statistics.median(values), 2) for figure, values in found.items()}
    above = statistics.median(
        ours - idle for ours, idle in zip(found["ours_p99_ms"], found["idle_p99_ms"], strict=True)
    )
    return {**medians, "above_ms": round(above, 2)}


def main() -> None:
    for name, figure in measure(rounds=3).items():
        print(f"{name:22} {figure:10,.2f}")


if __name__ == "__main__":
    main()
