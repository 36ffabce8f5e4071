"""
The move of a job to another account: planned anew, and recorded in one write.

The write holds the refusal at one account and the intent at the next. If the process dies after it, the job is queued
at the next account.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from attrs import evolve, frozen

from ..errors import (
    BudgetExceededError,
    ConfigurationError,
    HappyHorseError,
    InvalidRequestError,
    StoreError,
    UnsupportedFeatureError,
)
from ..job import AccountAttempt, Job
from ..local_media import without_content
from ..logs import JOB_MOVED, get_logger, log_fields
from ..messages import HttpRequest
from ..retry import RetryPolicies
from ..tracked_job import TrackedJob
from .account import Accounts
from .attempt import SubmitAttempt
from .breaker import is_of_account
from .job_errors import to_data
from .journal import Journal
from .routing import PlannedJob, Router
from .state import JobEvent
from .submit_errors import unreadable

_log = get_logger(__name__)

# Another section of the same account may have other options, or a key.
_OF_A_SECTION = (ConfigurationError, InvalidRequestError, UnsupportedFeatureError)


@frozen
class NextTry:
    """Where a job that was refused is sent next."""

    planned: PlannedJob | None
    """What was planned for another account; `None` for the same account."""
    reason: HappyHorseError
    """Why the present account does not get it now."""
    delay: float = 0.0
    """Seconds until then."""


class Mover:
    """Finds the account for a job that its own has certainly not accepted, or is left out, and moves the job there."""

    def __init__(self, accounts: Accounts, journal: Journal, router: Router, retries: RetryPolicies) -> None:
        self._accounts = accounts
        self._journal = journal
        self._router = router
        self._retries = retries

    def note_failure(self, job: Job, failure: HappyHorseError) -> None:
        """Note what became of a submit. If the key or the money is the reason, what was enqueued waits for a while."""
        if isinstance(failure, BudgetExceededError | StoreError):
            return
        account = self._accounts.of(job)
        account.breaker.failed(failure, _now())
        if is_of_account(failure):
            pause = account.breaker.paused_for(_now())
            account.scheduler.postpone(pause, lambda other: other.job.durable and not other.job.may_move)

    def pause(self, job: Job) -> float:
        """Return the seconds for which an enqueued job waits, because its account has no valid key or no money."""
        is_patient = job.durable and not job.may_move
        return self._accounts.of(job).breaker.paused_for(_now()) if is_patient else 0.0

    async def steer(self, job: Job, attempt: SubmitAttempt) -> NextTry | None:
        """Decide where a job is sent that is about to be sent, if its account is left out; `None`: where it is."""
        breaker, name = self._accounts.of(job).breaker, job.endpoint.provider
        why = breaker.error
        if attempt.lost_answer is not None or breaker.admits(job.job_id, _now()) or why is None:
            return None
        if not job.may_move:
            pause = self.pause(job)
            return NextTry(None, why, pause) if pause else None
        attempt.refusals[name] = why
        planned = await self.next(job, attempt)
        if planned is not None:
            return NextTry(planned, why)
        del attempt.refusals[name]
        # What was promised waits. What a caller waits for is sent: the breaker refuses nothing.
        pause = breaker.paused_for(_now()) if job.durable else 0.0
        return NextTry(None, why, pause) if pause else None

    async def after_refusal(
        self, tracked: TrackedJob, attempt: SubmitAttempt, failure: HappyHorseError
    ) -> NextTry | None:
        """
        Decide where a job is sent next that an account has certainly not accepted; `None` if nowhere.

        The first account is waited for as long as the patience lasts. Then each of the others is asked once, the ones
        that are left out at last, if a caller waits. Then those are asked again, after a pause, that may accept the job
        later.
        """
        job, name = tracked.job, tracked.job.endpoint.provider
        patience, now = self._router.patience, _now()
        delay = attempt.patient_delay(job, failure, self._retries, patience=patience, now=now)
        if delay is not None:
            return NextTry(None, failure, delay)
        attempt.refusals[name] = failure
        planned = await self.next(job, attempt)
        if planned is not None:
            return NextTry(planned, failure)
        await self._journal.is_promised(tracked)
        job = tracked.job
        if not job.durable:
            planned = await self.next(job, attempt, asks_left_out=True)
            if planned is not None:
                return NextTry(planned, failure)
        again = self._askable_again(job, attempt)
        if not again:
            return None
        delay = attempt.count_failure(job, again[0][1], self._retries)
        attempt.begin_round(other for other, _ in again)
        planned = await self.next(job, attempt)
        if planned is not None:
            return NextTry(planned if planned.provider != name else None, failure, delay)
        if not job.durable and name in attempt.refusals:
            return None
        pauses = [self._accounts.named(other).breaker.paused_for(now) for other, _ in again]
        return NextTry(None, failure, max(delay, min(pauses)))

    def _askable_again(self, job: Job, attempt: SubmitAttempt) -> list[tuple[str, HappyHorseError]]:
        """Return the accounts that may accept a job later, after all have refused it, and why they have refused."""
        adapter = self._accounts.of(job).adapter
        refusals = list(attempt.refusals.items())
        return [one for one in refusals if attempt.may_retry(job, one[1], adapter, self._retries)]

    async def next(self, job: Job, attempt: SubmitAttempt, *, asks_left_out: bool = False) -> PlannedJob | None:
        """
        Plan a job for the best account that has not refused it; `None` if there is none.

        What turns out to be impossible is added to `attempt.refusals`.

        :param asks_left_out: whether one may be asked that the breaker leaves out: it steers, and refuses nothing.
        """
        refusals: dict[str, HappyHorseError] = {}
        for name in self._candidates(job, refusals):
            try:
                breaker = self._accounts.named(name).breaker
                if self._has_refused(name, attempt):
                    continue
                if asks_left_out or breaker.admits(job.job_id, _now()):
                    planned = await self._router.plan_anew(name, job, attempt.message.media)
                    await self._journal.check_budget(self._moved(job, planned))
                    return planned
            except HappyHorseError as error:
                refusals[name] = error
            except Exception as error:  # noqa: BLE001 - waiters are told, and the job is not forgotten
                _log.exception("job %s cannot be planned for %s", job.job_id, name, extra=log_fields(job))
                refusals[name] = unreadable(error, name)
        attempt.refusals.update(refusals)
        return None

    def _moved(self, job: Job, planned: PlannedJob) -> Job:
        endpoint, spec = self._accounts.endpoints[planned.provider], planned.submission.spec
        return evolve(job, endpoint=endpoint, model=spec.model, price=planned.price)

    def _has_refused(self, name: str, attempt: SubmitAttempt) -> bool:
        """Return whether an account has refused a job, under this name or under another one of the same account."""
        others = [other for other, refusal in attempt.refusals.items() if not isinstance(refusal, _OF_A_SECTION)]
        return name in attempt.refusals or any(self._is_same_account(name, other) for other in others)

    def _is_same_account(self, name: str, other: str) -> bool:
        """Return whether two names lead to one account: sections with the same key and address do."""
        if name == other or self._accounts.opened(other) is None:
            return name == other
        return self._accounts.named(name).breaker is self._accounts.named(other).breaker

    def _candidates(self, job: Job, refusals: dict[str, HappyHorseError]) -> list[str]:
        try:
            names, found = self._router.candidates(job)
        except Exception:  # noqa: BLE001 - then it stays where it is
            _log.exception("job %s cannot be planned anew", job.job_id, extra=log_fields(job))
            return []
        refusals.update(found)
        return names

    async def move(self, tracked: TrackedJob, planned: PlannedJob, failure: HappyHorseError) -> HttpRequest | None:
        """
        Record that a job is queued at another account now, and return what is sent there.

        :param failure: why the present account did not accept it.
        :return: `None` if the job was settled in the meantime, by another process.
        :raises BudgetExceededError: the budget has no room for it there. Nothing has changed.
        :raises StoreError: it cannot be recorded. Nothing has changed.
        """
        job, submission = tracked.job, planned.submission
        endpoint = self._accounts.endpoints[planned.provider]
        left = AccountAttempt(
            endpoint=job.endpoint,
            model=job.model,
            error=to_data(failure),
            ended_at=datetime.now(UTC),
            submitted_at=job.submitted_at,
            body=job.body,
            callback_url=job.callback_url,
            price=job.price,
        )
        seen = [one for one in job.attempts if self._is_same_account(endpoint.provider, one.endpoint.provider)]
        before = next((one for one in seen if one.body is not None), None)
        # An account that has seen the job before, under the same idempotency key, is sent the same bytes again.
        message = planned.message if before is None else evolve(planned.message, body=before.body)
        is_moved = await self._journal.record_now(
            tracked,
            JobEvent.MOVE,
            endpoint=endpoint,
            model=submission.spec.model,
            request=submission.request.to_dict(),
            body=message.body,
            media=planned.media if job.durable else without_content(planned.media),
            callback_url=submission.callback_url if before is None else before.callback_url,
            submitted_at=None,
            price=planned.price,
            error=left.error,
            attempts=_with(job.attempts, left),
        )
        if not is_moved:
            return None
        why = f"{job.endpoint.provider} did not accept it: {failure.message}"
        fields = log_fields(tracked.job, event=JOB_MOVED, reason=failure)
        _log.info("job %s moves to %s, because %s", tracked.job_id, endpoint.provider, why, extra=fields)
        return message


def _with(attempts: tuple[AccountAttempt, ...], left: AccountAttempt) -> tuple[AccountAttempt, ...]:
    """Add what was tried last. Of each account only the latest is kept, at its first place."""
    if all(one.endpoint != left.endpoint for one in attempts):
        return (*attempts, left)
    return tuple(left if one.endpoint == left.endpoint else one for one in attempts)


def _now() -> float:
    return asyncio.get_running_loop().time()
