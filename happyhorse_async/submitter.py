"""
The paid request: sent once, and again only when it was certainly not taken.

Every failure of a submit is one of three. *Not sent*: no connection. *Refused*: the provider turned it away, and may
take it later. *Ambiguous*: it left, and no readable answer came; the provider may have taken it. Only a provider that
takes an idempotency key may be sent an ambiguous request again, with the same key and the same bytes.
"""

from __future__ import annotations

import asyncio
import logging

from .background import Background
from .errors import (
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderError,
    RateLimitError,
    SubmitOutcomeUnknownError,
    TaskNotFoundError,
    TransportError,
)
from .exchange import Exchange
from .messages import HttpRequest
from .poller import Poller
from .timing import Backoff
from .watch import Watch

_log = logging.getLogger("happyhorse_async")

_BACKOFF = Backoff(retries=4)
_CLOSING_GRACE = 30.0


class Submitter:
    """Sends the paid requests of one client, and hands what was accepted to the poller."""

    def __init__(self, exchange: Exchange, poller: Poller) -> None:
        self._exchange = exchange
        self._poller = poller
        self._posts = Background()

    async def submit(self, message: HttpRequest, job_id: str) -> Watch:
        """
        Send *message* until it is accepted, refused for good, or its outcome is unknown.

        Cancelling the caller ends the waiting for a turn or for another try. A request that is on its way goes on, and
        its answer is recorded.

        :raises SubmitOutcomeUnknownError: the provider may have taken it.
        :raises HappyHorseError: it was certainly not taken.
        """
        ambiguous: HappyHorseError | None = None
        attempt = 0
        while True:
            try:
                return await self._post(message, job_id)
            except HappyHorseError as error:
                failure = error
            if _is_ambiguous(failure):
                ambiguous = failure
            if attempt == _BACKOFF.retries or not self._may_repeat(failure, ambiguous):
                if ambiguous is not None:
                    raise _outcome_unknown(ambiguous, job_id) from ambiguous
                raise _certain(failure).about(job_id=job_id)
            delay = _BACKOFF.delay(attempt, getattr(failure, "retry_after", None))
            _log.info("submit of job %s is tried again in %.1f s: %s", job_id, delay, failure)
            await asyncio.sleep(delay)
            attempt += 1

    async def _post(self, message: HttpRequest, job_id: str) -> Watch:
        async with self._exchange.submit_turn():
            outcome = await asyncio.shield(self._posts.spawn(self._post_and_record(message, job_id)))
        if isinstance(outcome, HappyHorseError):
            raise outcome
        return outcome

    async def _post_and_record(self, message: HttpRequest, job_id: str) -> Watch | HappyHorseError:
        # The caller may have left by the time the answer comes, so an error is logged and returned, not raised.
        try:
            task = await self._exchange.submit(message)
        except HappyHorseError as error:
            _log.info("submit of job %s: %s", job_id, error)
            return error
        _log.info("job %s was accepted as %s", job_id, task.ref)
        return self._poller.accepted(task, job_id)

    def _may_repeat(self, failure: HappyHorseError, ambiguous: HappyHorseError | None) -> bool:
        if ambiguous is not None and not self._exchange.adapter.capabilities.idempotent:
            return False
        match failure:
            case TransportError():
                return failure.retryable
            case RateLimitError():
                return True
            case ProviderError():
                # Below 500 stand faults that another try does not mend, such as a gateway's own bad credential.
                return (failure.status_code or 500) >= 500 or _is_ambiguous(failure)
            case _:
                return _is_ambiguous(failure)

    async def aclose(self) -> None:
        """Give the requests on their way a moment to be answered and recorded."""
        await self._posts.settle(_CLOSING_GRACE)
        await self._posts.aclose()


def _is_ambiguous(error: HappyHorseError) -> bool:
    match error:
        case TransportError():
            return error.sent
        case ProviderError():
            return not error.refused
        case InvalidResponseError():
            # A redirect came from somebody who did not do the work.
            return not 300 <= (error.status_code or 0) < 400
        case _:
            return False


def _outcome_unknown(cause: HappyHorseError, job_id: str) -> SubmitOutcomeUnknownError:
    return SubmitOutcomeUnknownError(
        f"the paid request was sent and its outcome is unknown; it is not sent again, since that may pay twice: "
        f"{cause.message}",
        provider=cause.provider,
        job_id=job_id,
        status_code=cause.status_code,
        code=cause.code,
        request_id=cause.request_id,
    )


def _certain(error: HappyHorseError) -> HappyHorseError:
    if not isinstance(error, TaskNotFoundError):
        return error
    # A submit names no task, so what was not found is the place itself or something the request refers to.
    return InvalidRequestError(
        f"nothing was found to take the request, check the base URL, region and workspace: {error.message}",
        provider=error.provider,
        status_code=error.status_code,
        code=error.code,
        request_id=error.request_id,
    )
