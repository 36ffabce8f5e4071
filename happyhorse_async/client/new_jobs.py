"""The part of a client that creates jobs: submit, enqueue, generate, batches and plans."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable
from os import PathLike
from pathlib import Path

from attrs import evolve

from ..adapter import Submission
from ..engines import Engine
from ..errors import ConfigurationError, HappyHorseError, InvalidRequestError
from ..job import JobState
from ..jobs.account import new_job_id
from ..jobs.journal import NO_OWNER
from ..jobs.routing import PlannedJob, allows_move, most_telling
from ..local_media import reporting
from ..media.inspect import UnreadableFileError
from ..request import VideoRequest
from ..task import Task
from ..tracked_job import TrackedJob
from .batch import Batch, JobRequest, Outcome, generate_one
from .handle import JobHandle, TaskHandle
from .plan import Plan
from .recorded_jobs import RecordedJobs, check_key


class NewJobs(RecordedJobs):
    """The methods of a client that create jobs. See `Client`."""

    async def submit(
        self,
        request: VideoRequest,
        *,
        provider: str | None = None,
        key: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
        upload_progress: Callable[[int, int], object] | None = None,
    ) -> TaskHandle:
        """
        Request a video, and return as soon as the provider has accepted the task.

        Cancelling the call withdraws a job that has not been sent. A request in flight continues, and its task is
        recorded in the store.

        :param provider: the account; by default the client's own.
        :param key: your own name for the job. The same key and request are the same task, also in another process or
            after a restart, as long as the store remembers it.
        :param callback_url: called by the provider when the task has ended, if it can; by default from the
            configuration.
        :param save_to: a file or a folder, where the video is saved in the background as soon as it is ready. Failures
            are logged with the path, and the download is retried until the video expires. The path is recorded with the
            job: if the client is closed or its process dies before the video is saved, the next client that opens the
            store saves it, and the job is pending until then. A job has one path: if another is given with the same
            key, the last one counts.
        :param upload_progress: called with the uploaded bytes of local media, and their total. Not called for media
            inside the request.
        :raises UnsupportedFeatureError: the provider cannot express the request. Nothing was sent.
        :raises InvalidRequestError: a value is out of range (nothing was sent), or the provider refused the request.
        :raises DownloadError: no video can be written to *save_to*. Nothing was sent.
        :raises BudgetExceededError: it may cost more than the budget leaves, or its price is not known. Nothing was
            sent.
        :raises SubmitOutcomeUnknownError: the request was sent and no readable response came.
        :raises HappyHorseError: any other refusal; the task was certainly not accepted.
        """
        tracked = await self._add(
            request,
            provider,
            callback_url,
            key=key,
            durable=False,
            save_to=save_to,
            upload_progress=upload_progress,
        )
        await self._lifecycle.inside().submitter.accepted(tracked)
        return TaskHandle(self._lifecycle, tracked)

    async def enqueue(
        self,
        request: VideoRequest,
        *,
        provider: str | None = None,
        key: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> JobHandle:
        """
        Record a job and return at once; it is submitted when the limits allow.

        With a store on disk the job outlives this process: the next one that opens the store sends it. It is retried
        for as long as the provider certainly did not accept it.

        :param provider: the account; by default the one that the routing chooses, or the client's only one.
        :param key: your own name for the job: the same key and request are the same task, also after a restart.
        :param callback_url: called by the provider at the end of the task, if it can; by default the configured one.
        :param save_to: a file or a folder, where the video is saved in the background as soon as it is ready.
        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is out of range, or the key was used for another request.
        :raises DownloadError: no video can be written to *save_to*.
        :raises BudgetExceededError: it may cost more than the budget leaves, or its price is not known.
        :raises StoreError: it cannot be recorded.
        """
        tracked = await self._add(request, provider, callback_url, key=key, durable=True, save_to=save_to)
        return JobHandle(self._lifecycle, tracked)

    async def _add(
        self,
        request: VideoRequest,
        provider: str | None,
        callback_url: str | None,
        *,
        key: str | None,
        durable: bool,
        save_to: str | PathLike[str] | None,
        upload_progress: Callable[[int, int], object] | None = None,
    ) -> TrackedJob:
        runtime, router = self._lifecycle.inside(), self._lifecycle.router
        if key is not None:
            check_key(key)
        names = router.names(None if provider is None else self._planner(provider).name)
        fit = router.fit(names, request, callback_url, job_id=new_job_id())
        is_routed = len(fit.submissions) > 1
        for name in runtime.admitting(router.ranked(fit), fit) if is_routed else fit.submissions:
            try:
                planned = await self._planned(
                    name, fit.submissions[name], key=key, durable=durable, upload_progress=upload_progress
                )
            except UnreadableFileError:
                # A key is compared by content; if the file is gone, the key alone identifies the job.
                known = None if key is None else await runtime.intake.find(key)
                if known is None:
                    raise
                return known
            except HappyHorseError as error:
                if not (isinstance(error, InvalidRequestError | ConfigurationError) or allows_move(error)):
                    raise
                fit.refusals[name] = error
                continue
            tracked = await runtime.intake.add(
                planned, may_move=len(names) > 1, key=key, durable=durable, save_to=save_to
            )
            if self._lifecycle.options.engine is not None:
                self._start(self._lifecycle.options.engine, tracked)
            return tracked
        # The job may already exist, at an account that could express it.
        same = None if key is None else await runtime.intake.find_same(key, request)
        if same is not None:
            return same
        raise most_telling([fit.refusals[name] for name in names])

    def _start(self, engine: Engine, tracked: TrackedJob) -> None:
        """Give a job to the engine that was left to it."""
        job = tracked.job
        if job.durable and job.state is JobState.QUEUED and job.owner in (None, NO_OWNER):
            engine.start(job.job_id)

    async def _planned(
        self,
        name: str,
        submission: Submission,
        *,
        key: str | None,
        durable: bool,
        upload_progress: Callable[[int, int], object] | None,
    ) -> PlannedJob:
        """Prepare the local media of a request for an account, and upload those that are not sent inline."""
        runtime = self._lifecycle.inside()
        account = runtime.accounts.named(name)
        prepared = await self._lifecycle.router.prepared(name, submission, durable=durable)
        planner = self._lifecycle.planners[name]
        price = planner.price(submission.request, submission.spec, source_duration=prepared.source_duration)
        if prepared.request is not submission.request:
            submission = evolve(submission, request=prepared.request)
        if upload_progress is not None:
            prepared = evolve(prepared, media=reporting(prepared.media, upload_progress))
        message = await runtime.intake.message(
            account, submission, prepared.media, key=key, durable=durable, price=price
        )
        return PlannedJob(provider=name, submission=submission, message=message, media=prepared.media, price=price)

    async def generate(
        self,
        request: VideoRequest,
        *,
        timeout: float | None = None,
        provider: str | None = None,
        key: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
        upload_progress: Callable[[int, int], object] | None = None,
    ) -> Task:
        """
        Request a video and wait for it.

        :param timeout: seconds to wait after the provider has accepted the task.
        :param provider: the account; by default the one that the routing chooses, or the client's only one.
        :param key: your own name for the job: the same key and request are the same task, also after a restart.
        :param callback_url: called by the provider at the end of the task, if it can; by default the configured one.
        :param save_to: a file or a folder for the video. The call returns when it is saved, or was not saved at once;
            then the download is retried in the background.
        :param upload_progress: called with the uploaded bytes of local media, and their total.
        :raises HappyHorseError: what `submit` and `JobHandle.wait` raise.
        """
        runtime = self._lifecycle.inside()
        tracked = await self._add(
            request,
            provider,
            callback_url,
            key=key,
            durable=False,
            save_to=save_to,
            upload_progress=upload_progress,
        )
        await runtime.submitter.accepted(tracked)
        task = await TaskHandle(self._lifecycle, tracked).wait(timeout)
        if save_to is not None:
            await runtime.auto_downloads.tried(tracked)
        return task

    def generate_many(
        self,
        requests: Iterable[VideoRequest | JobRequest] | AsyncIterable[VideoRequest | JobRequest],
        *,
        limit: int | None = None,
        timeout: float | None = None,
        provider: str | None = None,
        callback_url: str | None = None,
        save_to: str | PathLike[str] | None = None,
    ) -> Batch[Outcome]:
        """
        Request many videos, and yield each outcome as it comes.

        :param requests: an item may be a `JobRequest` with its own options.
        :param limit: how many may be in flight at once; by default 1,000. The provider's limits always apply.
        :param timeout: seconds to wait for each task after the provider has accepted it.
        :param provider: the account; by default the one that the routing chooses, or the client's only one.
        :param callback_url: called by the provider at the end of the task, if it can; by default the configured one.
        :param save_to: a folder for the videos, each of which is saved as soon as it is ready.
        :raises ValueError: *save_to* is a file, in which each video would replace the one before.
        """
        runtime = self._lifecycle.inside()
        if save_to is not None and not (Path(save_to).is_dir() or str(save_to).endswith(("/", os.sep))):
            raise ValueError(f"save_to must be a folder where many videos are saved, not {save_to}")

        async def submit(job: JobRequest) -> TrackedJob:
            tracked = await self._add(
                job.request,
                job.provider or provider,
                job.callback_url or callback_url,
                key=job.key,
                durable=False,
                save_to=save_to if job.save_to is None else job.save_to,
            )
            await runtime.submitter.accepted(tracked)
            return tracked

        async def wait(tracked: TrackedJob, job: JobRequest) -> Task:
            task = await TaskHandle(self._lifecycle, tracked).wait(timeout)
            if job.save_to is not None or save_to is not None:
                await runtime.auto_downloads.tried(tracked)
            return task

        async def work(index: int, item: VideoRequest | JobRequest, submitted: Callable[[], None]) -> Outcome:
            return await generate_one(index, JobRequest.of(item), submitted, submit=submit, wait=wait)

        return Batch(requests, work, spawn=self._lifecycle.spawn, limit=limit)

    def plan(self, request: VideoRequest, *, provider: str | None = None, callback_url: str | None = None) -> Plan:
        """
        Return what `submit` would send, without using the network.

        :raises UnsupportedFeatureError: the provider cannot express the request.
        :raises InvalidRequestError: a value is out of range.
        """
        pinned = None if provider is None else self._planner(provider).name
        return self._lifecycle.router.plan(request, pinned, callback_url)
