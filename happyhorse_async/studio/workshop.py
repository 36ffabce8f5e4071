"""The operations of the page, as functions from JSON to JSON, on the client, the journal and the shelf."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import anyio.to_thread
from attrs import asdict, frozen

from ..background import Background
from ..client import Client, JobInfo, Plan
from ..download.naming import file_name
from ..errors import HappyHorseError, InvalidRequestError, TaskNotFoundError, UnsupportedFeatureError
from ..job import Job, JobState
from ..media.formats import HEAD, detect
from ..messages import HttpRequest
from ..price import Money, PriceEstimate
from ..redaction import redact_headers, redact_text, redact_url
from ..stores import TaskStore
from ..task import Task
from .models import installed_models, models_of
from .shelf import Shelf, mode_of

_SHOWN = 200
# Some seconds in all: as long as a provider usually takes to answer a submit.
_CANCEL_TRIES = 50
_CANCEL_PAUSE = 0.1
# A longer body is shown in part: its text is for people.
_LONGEST_TEXT = 40_000


@frozen(kw_only=True)
class About:
    """The page's information about the run."""

    is_emulator: bool
    """Whether the videos are test pictures from an emulator on this machine."""
    videos: Path
    """The folder in which videos are saved."""
    has_prepared_video: bool = False
    """Whether every video of the emulator is the same clip, because the packages are missing that make others."""


class Workshop:
    """
    Makes, watches and resolves jobs for the page.

    :param client: open for as long as this is used.
    :param store: the client's store.
    """

    def __init__(self, client: Client, store: TaskStore, shelf: Shelf, about: About) -> None:
        self._client = client
        self._store = store
        self.shelf = shelf
        self._about = about
        self._followed = Background()

    async def open(self) -> None:
        """Make the folders, and start following the tasks of earlier runs."""
        await anyio.to_thread.run_sync(self.shelf.open)
        await anyio.to_thread.run_sync(partial(self._about.videos.mkdir, parents=True, exist_ok=True))
        for info in await self._client.pending():
            if info.state is JobState.ACCEPTED:
                self._follow(info.job_id)

    async def aclose(self) -> None:
        """Stop following. The tasks go on at the provider."""
        await self._followed.aclose()

    def setup(self) -> dict[str, Any]:
        """Return the data for the form of the page."""
        accounts = [
            {"name": name, "adapter": adapter.name, "models": models_of(adapter.capabilities.models)}
            for name, adapter in self._client.adapters.items()
        ]
        return {
            "emulator": self._about.is_emulator,
            "prepared": self._about.has_prepared_video,
            "folder": str(self._about.videos),
            "largest": self.shelf.largest,
            "default": self._client.provider,
            "accounts": accounts,
            "installed": installed_models(),
        }

    async def plan(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the plan of a submit.

        :raises HappyHorseError: the request cannot be sent.
        """
        provider, request = await self._read(data)
        plan = await anyio.to_thread.run_sync(partial(self._client.plan, request, provider=provider))
        return _plan(plan)

    async def make(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """
        Enqueue a job. The key in *data* makes a click that is repeated the same job.

        :raises HappyHorseError: it cannot be enqueued. Nothing was sent.
        """
        provider, request = await self._read(data)
        key = data.get("key")
        if not isinstance(key, str):
            raise InvalidRequestError("key must be a text")
        folder = str(self._about.videos) + os.sep
        handle = await self._client.enqueue(request, provider=provider, key=f"studio-{key}", save_to=folder)
        asked = cast("dict[str, Any]", data["request"])
        await anyio.to_thread.run_sync(self.shelf.keep_request, handle.job_id, {**asked, "mode": request.mode.value})
        return {"job_id": handle.job_id}

    async def _read(self, data: Mapping[str, Any]) -> tuple[str | None, Any]:
        asked, provider = data.get("request"), data.get("provider")
        if not isinstance(asked, dict) or not isinstance(provider, str | None):
            raise InvalidRequestError("expected an object with a request")
        request = await anyio.to_thread.run_sync(self.shelf.request, cast("dict[str, Any]", asked))
        return provider or None, request

    async def jobs(self) -> list[dict[str, Any]]:
        """Return the newest jobs of the journal, for the page."""
        jobs = await self._store.recent(_SHOWN)
        usual = _usual_times(jobs)
        return await anyio.to_thread.run_sync(lambda: [self._row(job, usual) for job in jobs])

    def _row(self, job: Job, usual: Mapping[str, float]) -> dict[str, Any]:
        info, asked = JobInfo.of(job), self.shelf.kept_request(job.job_id)
        file = self._file(job)
        mode = mode_of(asked)
        return {
            **info.to_dict(urls=False),
            "price": info.price and str(info.price),
            "billed": _billed(info.price),
            "provider": job.endpoint.provider,
            "model": job.model,
            "mode": mode and mode.value,
            "prompt": asked and asked.get("prompt"),
            "asked": asked,
            "usual": usual.get(job.model),
            "video": file is not None,
            "size": None if file is None else file.stat().st_size,
            "until": _until(job.task),
            "is_final": job.state.is_final,
            "is_saving": job.is_unsaved,
        }

    def _file(self, job: Job) -> Path | None:
        """Return the file of a finished video, if it is on this disk. Blocks."""
        if job.state is not JobState.SUCCEEDED or job.ref is None:
            return None
        for path in (Path(job.saved_to) if job.saved_to else None, self._about.videos / file_name(job.ref.id)):
            if path is not None and path.is_file():
                return path
        return None

    async def video(self, job_id: str) -> Path:
        """
        Return the file of a video.

        :raises TaskNotFoundError: it is not on this disk, or is no video.
        """
        job = await self._job(job_id)
        path = await anyio.to_thread.run_sync(self._file, job)
        if path is None or not await anyio.to_thread.run_sync(_begins_like_video, path):
            raise TaskNotFoundError("the video is not on this disk", job_id=job_id)
        return path

    async def _job(self, job_id: str) -> Job:
        job = await self._store.get(job_id)
        if job is None:
            raise TaskNotFoundError("there is no such job", job_id=job_id)
        return job

    async def cancel(self, job_id: str) -> None:
        """Cancel a job; raises what `Client.cancel` raises. One that is being submitted is waited for."""
        for _ in range(_CANCEL_TRIES):
            try:
                await self._client.cancel(job_id)
            except TaskNotFoundError:
                if (await self._job(job_id)).state is not JobState.SUBMITTING:
                    raise
                await asyncio.sleep(_CANCEL_PAUSE)
            else:
                return
        raise InvalidRequestError("the job is being submitted: cancel it when that is over", job_id=job_id)

    async def resume(self, job_id: str) -> None:
        """Follow a job that another process has left."""
        await self._job(job_id)
        self._follow(job_id)

    async def save(self, job_id: str) -> None:
        """
        Save the video of a finished job in the folder; raises what `Client.download` raises.

        :raises TaskNotFoundError: there is no such job, or it has no task.
        """
        job = await self._job(job_id)
        if await anyio.to_thread.run_sync(self._file, job) is None:
            task = await self._client.fetch(job_id)
            await self._client.download(task, str(self._about.videos) + os.sep)

    async def candidates(self, job_id: str) -> dict[str, Any]:
        """Return the possible tasks of a job of unknown outcome, and whether the provider has a list to search."""
        try:
            found = await self._client.candidates(job_id)
        except UnsupportedFeatureError:
            return {"has_list": False, "candidates": []}
        return {"has_list": True, "candidates": [task.to_dict(urls=False) for task in found]}

    async def settle(self, job_id: str, data: Mapping[str, Any]) -> None:
        """
        Resolve a job of unknown outcome; raises the errors of `Client.resolve`.

        :param data: `adopt`, the ref of its task, or `write_off`.
        """
        adopt, write_off = data.get("adopt"), data.get("write_off") is True
        if isinstance(adopt, str) is write_off:
            raise InvalidRequestError("give one of the two: adopt or write_off")
        handle = await self._client.resolve(
            job_id, adopt=adopt if isinstance(adopt, str) else None, write_off=write_off
        )
        if handle is not None:
            self._follow(job_id)

    async def health(self) -> dict[str, Any]:
        """Return the state of the accounts, without what changes with every request."""
        health = (await self._client.health()).to_dict()
        for account in health["accounts"].values():
            del account["last_answer_at"]
        return health

    def _follow(self, job_id: str) -> None:
        self._followed.spawn(self._wait(job_id))

    async def _wait(self, job_id: str) -> None:
        try:
            await self._client.resume_job(job_id)
        except (HappyHorseError, asyncio.CancelledError):
            # How it ended stands in the journal.
            return


def _usual_times(jobs: list[Job]) -> dict[str, float]:
    """Return the median of the seconds from creation to end, by model."""
    times: dict[str, list[float]] = {}
    for job in jobs:
        ended = job.task and (job.task.finished_at or job.task.observed_at)
        if job.state is JobState.SUCCEEDED and ended:
            times.setdefault(job.model, []).append((ended - job.created_at).total_seconds())
    return {model: median(seconds) for model, seconds in times.items()}


def _billed(price: PriceEstimate | None) -> str | None:
    return None if price is None or price.billed is None else str(Money(price.billed, price.currency))


def _until(task: Task | None) -> str | None:
    times = [video.expires_at for video in task.videos if video.expires_at] if task is not None else []
    earliest: datetime | None = min(times, default=None)
    return None if earliest is None else earliest.isoformat()


def _begins_like_video(path: Path) -> bool:
    with path.open("rb") as file:
        found = detect(file.read(HEAD))
    return found is not None and found.is_video


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "provider": plan.provider,
        "model": plan.model,
        "warnings": list(plan.warnings),
        "media": [asdict(medium) for medium in plan.media],
        "messages": [_message(message) for message in plan.messages],
        "price": plan.price and plan.price.describe(),
        "rejected": [{"provider": one.provider, "reason": str(one.error)} for one in plan.rejected],
    }


def _message(message: HttpRequest) -> dict[str, Any]:
    text = (message.body or b"").decode("utf-8", "replace")
    return {
        "method": message.method,
        "url": redact_url(message.url),
        "headers": redact_headers(message.headers),
        "body": redact_text(text[:_LONGEST_TEXT]),
    }
