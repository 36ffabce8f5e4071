"""Saving videos as soon as they are there, while nobody waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import define, field

from ..background import Background
from ..errors import HappyHorseError, TaskError
from ..retries import Retries, RetryPolicy
from ..task import Task, TaskStatus
from ..watch import Watch
from .fetching import UrlRefusedError
from .naming import place_for

_log = logging.getLogger("happyhorse_async")

_CLOSING_GRACE = 60.0


@define(kw_only=True, eq=False)
class Saving:
    """
    One video that is to be saved. Whatever goes wrong is logged, with the task and the path.

    :param watch: the job and its task.
    :param path: the file, or a folder; absolute.
    :param wait: waits for the video, as the one who holds the handle would.
    :param download: brings the video to the file.
    :param record: writes down where it stands.
    """

    watch: Watch
    path: Path
    wait: Callable[[], Awaitable[Task]]
    download: Callable[[Task, Path], Awaitable[object]]
    record: Callable[[Watch, Path], Awaitable[object]]
    retry: RetryPolicy = field(factory=lambda: Retries().save)
    tried: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set when the video is saved, or could not be saved at once."""
    pausing: bool = field(default=False, init=False)
    """Whether it waits to try again."""

    @property
    def under_way(self) -> bool:
        """Whether there is a video, and it is being saved right now."""
        task = self.watch.task
        return task is not None and task.status is TaskStatus.SUCCEEDED and not self.pausing

    async def run(self) -> None:
        """Wait for the video and save it."""
        try:
            task = await self.wait()
            target = await asyncio.to_thread(place_for, self.path, task.id)
            if not await asyncio.to_thread(self._stands_at, target):
                await self._save(task, target)
        except TaskError as error:
            _log.info("nothing to save at %s: %s", self.path, error)
        except HappyHorseError as error:
            # Without a ref there is no task: the job was refused, or taken back.
            level = logging.INFO if self.watch.ref is None else logging.ERROR
            _log.log(level, "the video is not saved at %s: %s", self.path, error.about(ref=self.watch.ref))
        except asyncio.CancelledError:
            _log.warning("the client closes before the video of %s is saved at %s", self._name, self.path)
            raise
        except Exception:  # noqa: BLE001 - nobody waits for it, and the others are to go on
            _log.exception("the video of %s is not saved at %s", self._name, self.path)
        finally:
            self.tried.set()

    async def _save(self, task: Task, target: Path) -> None:
        tries = 0
        while True:
            try:
                await self.download(task, target)
                break
            except UrlRefusedError:
                raise
            except HappyHorseError as error:
                if tries >= self.retry.retries:
                    raise
                delay = self.retry.delay(tries)
                _log.error("the video is not yet saved at %s, tried again in %.0f s: %s", target, delay, error)
                await self._pause(delay)
                tries += 1
        await self.record(self.watch, target)
        _log.info("the video of %s is saved at %s", task.ref, target)

    async def _pause(self, delay: float) -> None:
        self.tried.set()
        self.pausing = True
        try:
            await asyncio.sleep(delay)
        finally:
            self.pausing = False

    def _stands_at(self, target: Path) -> bool:
        """Whether an earlier run has saved it there."""
        saved_to = self.watch.job.saved_to if self.watch.job else None
        return saved_to == str(target) and target.is_file()

    @property
    def _name(self) -> str:
        return str(self.watch.ref or self.watch.job_id)


class Savings:
    """The videos that a client is to save."""

    def __init__(self) -> None:
        self._savings: set[Saving] = set()
        self._work = Background()

    def begin(self, saving: Saving) -> None:
        """See to *saving*, unless the same video is to be saved at the same path already."""
        if not any(_is_same(saving, other) for other in self._savings):
            self._savings.add(saving)
            self._work.spawn(self._run(saving))

    async def _run(self, saving: Saving) -> None:
        try:
            await saving.run()
        finally:
            self._savings.discard(saving)

    async def tried(self, job_id: str) -> None:
        """Wait until the video of a job is saved, or could not be saved at once."""
        for saving in [saving for saving in self._savings if saving.watch.job_id == job_id]:
            await saving.tried.wait()

    async def aclose(self) -> None:
        """Stop. What is being saved gets a minute to be whole."""
        under_way = [saving for saving in self._savings if saving.under_way]
        try:
            async with asyncio.timeout(_CLOSING_GRACE):
                for saving in under_way:
                    await saving.tried.wait()
        except TimeoutError:
            pass
        finally:
            await self._work.aclose()
            self._savings.clear()


def _is_same(one: Saving, other: Saving) -> bool:
    return one.watch is other.watch and one.path == other.path
