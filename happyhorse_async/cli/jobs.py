"""The main job, as the command runs it: submit, follow, save. Whatever happens after the submit, the ref is shown."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

from ..client import Client
from ..errors import ConfigurationError, HappyHorseError, WaitTimeoutError
from ..handle import TaskHandle
from ..request import VideoRequest
from ..task import Task, TaskRef
from .output import Output, Unfinished
from .views import task_line, task_object

# Providers answer a submit within seconds. The client itself waits some more for an answer while it closes.
_GRACE = 20.0


class JobRunner:
    """
    One video on its way to a file.

    :param target: the file or folder for the video.
    :param config: the configuration file that was named, to be named again when the task is taken up.
    :param resumable: whether another run can take up the task.
    """

    def __init__(
        self, output: Output, *, target: Path | None = None, config: str | None = None, resumable: bool = True
    ) -> None:
        self._output = output
        self._target = target
        self._config = config
        self._resumable = resumable
        if target is not None:
            _check_target(target)

    def about(self, ref: TaskRef) -> None:
        """Note that the task exists, so that the run cannot end without saying how to take it up."""
        if self._resumable:
            target = ("-o", str(self._target)) if self._target else ()
            config = ("--config", self._config) if self._config else ()
            self._output.unfinished = Unfinished(ref, ("happyhorse", "wait", str(ref), *target, *config))

    async def submit(self, client: Client, request: VideoRequest) -> TaskHandle:
        """
        Submit *request* and print the ref.

        An interruption does not cut off the paid request: its answer is waited for, and the ref is printed.
        """
        for warning in client.plan(request).warnings:
            self._output.warn(warning)
        submitting = asyncio.ensure_future(client.submit(request))
        try:
            handle = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            await self._last_answer(submitting)
            raise
        self._accepted(handle)
        return handle

    async def _last_answer(self, submitting: asyncio.Future[TaskHandle]) -> None:
        self._output.show_log()
        self._output.note("waiting for the answer to the paid request, to print the ref; interrupt again to leave")
        submitting.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.wait([submitting], timeout=_GRACE)
            if submitting.done():
                self._accepted(submitting.result())
        except HappyHorseError as error:
            self._output.error(error)
        finally:
            if not submitting.done():
                self._output.warn(
                    "there may be a task, and its ref is not known yet; if the answer comes while the client closes, "
                    "it is shown"
                )
                submitting.cancel()

    def _accepted(self, handle: TaskHandle) -> None:
        self.about(handle.ref)
        self._output.event("submitted", ref=str(handle.ref), job_id=handle.job_id)
        self._output.note(f"submitted {handle.ref}")

    async def follow(self, handle: TaskHandle, timeout: float | None) -> Task:
        """
        Show how the task goes on until it has succeeded.

        :raises WaitTimeoutError: *timeout* seconds are over.
        :raises TaskError: there will be no video.
        """
        clock = asyncio.timeout(timeout)
        with self._output.watching() as show:
            try:
                async with clock, aclosing(handle.updates()) as updates:
                    async for task in updates:
                        show(task)
            except TimeoutError:
                if not clock.expired():
                    raise
                raise WaitTimeoutError(
                    f"the task has not ended within {timeout:g} s", task=handle.task, ref=handle.ref
                ) from None
        return await handle

    async def save(self, client: Client, task: Task) -> None:
        """Bring the video to disk, if a target was given, and print the result of the run."""
        path = None
        if self._target is not None:
            with self._output.downloading(str(task.ref)) as progress:
                path = await client.download(task, self._target, progress=progress)
        self._output.unfinished = None
        self._output.event("finished", **task_object(task), path=path and str(path))
        self._output.line(str(path or task_line(task)))


def _check_target(target: Path) -> None:
    # Before anything is paid for.
    folder = target if target.is_dir() else target.parent
    if not folder.is_dir():
        raise ConfigurationError(f"--output {target}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"--output {target}: the folder {folder} cannot be written to")
