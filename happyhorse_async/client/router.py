"""Which accounts of a client can have a request, in which order, and how the request is planned for each."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio
from attrs import evolve, frozen

from ..adapter import Submission
from ..errors import BudgetExceededError, HappyHorseError, InvalidRequestError, UnsupportedFeatureError
from ..job import Job
from ..jobs.account import Accounts, new_job_id
from ..jobs.routing import Candidate, PlannedJob, most_telling, ranked
from ..local_media import LocalMedium
from ..media.inspect import UnreadableFileError
from ..request import Media, ReferenceToVideo, VideoEdit, VideoRequest
from ..request_codec import from_data
from ..routing import Routing
from .media import Keeping, PreparedRequest, has_local_media
from .plan import Plan, Planner, Rejection, unnamed
from .spending import KnownSpending

_TOKENS = {"[Image 1]": re.compile(r"\[image ?\d+\]", re.IGNORECASE), "character1": re.compile(r"\bcharacter ?\d+\b")}
_MEDIUM = re.compile(r"hh-media-[a-z0-9]+-(?P<digest>[0-9a-f]{64})")


@frozen
class Fit:
    """What was found out of all accounts that a request could go to."""

    submissions: Mapping[str, Submission]
    """Of those that can express it, in the order of the routing."""
    refusals: dict[str, HappyHorseError]
    """Why each other one cannot."""


class Router:
    """
    Shares the requests of one client out among its accounts.

    :param default: the account of every request that is not routed.
    :param routing: `None` where nothing is routed.
    :param spending: the budget, as far as it is known.
    """

    def __init__(
        self,
        planners: Mapping[str, Planner],
        default: str,
        routing: Routing | None,
        spending: KnownSpending,
    ) -> None:
        self._planners = planners
        self._spending = spending
        self._default = default
        self._routing = routing or Routing()
        names = self._routing.order or (default, *(name for name in planners if name != default))
        self._order = names if routing is not None else (default,)
        self._accounts: Accounts | None = None
        self._limiter: anyio.CapacityLimiter | None = None
        self._clock: Callable[[], float] = time.monotonic
        self._keeping = Keeping()

    def open(
        self, accounts: Accounts, limiter: anyio.CapacityLimiter, keeping: Keeping, clock: Callable[[], float]
    ) -> None:
        """
        Use what runs while the client is open.

        :param clock: the time by which routing leaves accounts out.
        :param limiter: so many pictures are examined at once.
        :param keeping: what the store keeps of the media of enqueued jobs.
        """
        self._accounts, self._limiter, self._keeping, self._clock = accounts, limiter, keeping, clock

    def close(self) -> None:
        """Forget what ran while the client was open."""
        self._accounts = self._limiter = None

    @property
    def patience(self) -> float:
        """Seconds for which the first account is waited for."""
        return self._routing.patience

    def names(self, provider: str | None) -> tuple[str, ...]:
        """Return the accounts that a request may go to. One that is pinned to *provider* goes nowhere else."""
        return self._order if provider is None else (provider,)

    def fit(
        self,
        names: tuple[str, ...],
        request: VideoRequest,
        callback_url: str | None,
        *,
        job_id: str,
        home: str | None = None,
    ) -> Fit:
        """
        Find out which accounts can express *request*.

        :param home: the adapter that the request was first planned for; by default that of the first account.
        """
        first_name = next(iter(names))
        first = self._planners[first_name].adapter.name if home is None else home
        fit = Fit({}, {})
        submissions: dict[str, Submission] = {}
        for name in names:
            planner = self._planners[name]
            try:
                _ = planner.account
                if len(names) > 1:
                    self._check_written_for(planner, names, request, first)
                submission = planner.submission(request, callback_url, job_id=job_id)
                if name != first_name:
                    _check_tokens(submission, name)
                submissions[name] = submission
            except HappyHorseError as error:
                fit.refusals[name] = self._configured_first(error)
        return evolve(fit, submissions=submissions)

    def _configured_first(self, error: HappyHorseError) -> HappyHorseError:
        """Return *error*, with the providers that this client has an account of before others that could."""
        if isinstance(error, UnsupportedFeatureError):
            known = {planner.adapter.name for planner in self._planners.values()}
            error.alternatives = tuple(sorted(error.alternatives, key=lambda name: name not in known))
        return error

    def _check_written_for(self, planner: Planner, names: tuple[str, ...], request: VideoRequest, first: str) -> None:
        """Make sure that what only one adapter understands goes to no other."""
        adapter = planner.adapter.name
        if request.extra and adapter != first:
            raise _not_written_for(planner.name, "extra", first)
        if request.model is None:
            return
        adapters = [self._planners[name].adapter for name in names]
        knowing = [each.name for each in adapters if any(s.model == request.model for s in each.capabilities.models)]
        if adapter != (knowing[0] if knowing else first):
            raise _not_written_for(planner.name, f"model {request.model}", knowing[0] if knowing else first)

    def ranked(self, fit: Fit) -> list[str]:
        """Return the accounts that can express a request, the best one first."""
        strategy = self._routing.strategy
        if strategy == "order" or len(fit.submissions) < 2:
            return list(fit.submissions)
        return ranked([self._candidate(name, sub) for name, sub in fit.submissions.items()], strategy)

    def _candidate(self, name: str, submission: Submission) -> Candidate:
        if self._routing.strategy == "cheapest":
            price = self._planners[name].price(submission.request, submission.spec)
            return Candidate(name, price=price)
        return Candidate(name, seconds=self._expected(name, submission))

    def _expected(self, name: str, submission: Submission) -> float:
        """Return in how many seconds the video is expected from an account, as far as that was learned."""
        if self._accounts is None:
            return 0.0
        account = self._accounts.named(name)
        data: dict[str, Any] = submission.request.to_dict()
        run_time = account.poller.estimator.model(data).median
        return account.scheduler.expected_wait(submission.spec.model, run_time) + run_time

    def plan(self, request: VideoRequest, provider: str | None, callback_url: str | None) -> Plan:
        """
        Return what a submit of *request* would do, without the network.

        :raises HappyHorseError: no account can express it.
        """
        names = self.names(provider)
        fit = self.fit(names, request, callback_url, job_id=new_job_id())
        ranked = self.ranked(fit)
        left_out = self._left_out(ranked)
        possible: Plan | None = None
        for name in sorted(ranked, key=left_out.__contains__):
            try:
                plan = self._planners[name].plan(fit.submissions[name])
            except UnreadableFileError:
                raise
            except HappyHorseError as error:
                fit.refusals[name] = self._configured_first(error)
                continue
            plan = evolve(plan, warnings=(*plan.warnings, *self._differences(fit, name, names[0])))
            try:
                self._spending.check(self._planners[name].settings.endpoint, plan.model, plan.price)
            except BudgetExceededError as error:
                fit.refusals[name] = error
                possible = possible or evolve(plan, warnings=(*plan.warnings, error.message))
                continue
            if name in left_out:
                plan = evolve(plan, warnings=(*plan.warnings, _left_out_too(name, left_out.pop(name))))
            return evolve(plan, rejected=_rejections({**left_out, **fit.refusals}, names))
        if possible is not None:
            # It could be made there. What it would cost is what the caller asks for.
            return evolve(possible, rejected=_rejections({**left_out, **fit.refusals}, names))
        raise most_telling([fit.refusals[name] for name in names])

    def _left_out(self, names: list[str]) -> dict[str, HappyHorseError]:
        """Return which accounts routing leaves out at present, and why."""
        if self._accounts is None or len(names) < 2:
            return {}
        opened = {name: account for name in names if (account := self._accounts.opened(name)) is not None}
        now = self._clock()
        errors = {name: one.breaker.error for name, one in opened.items() if not one.breaker.would_admit(now)}
        return {name: error for name, error in errors.items() if error is not None}

    def _differences(self, fit: Fit, name: str, first: str) -> tuple[str, ...]:
        """Say what another account than the first one does differently where the request leaves it open."""
        here, there = fit.submissions[name].spec, fit.submissions.get(first)
        if name == first or there is None or there.spec.version == here.version:
            return ()
        return (f"{name} makes it with version {here.version}, and {first} with version {there.spec.version}",)

    def candidates(self, job: Job) -> tuple[list[str], dict[str, HappyHorseError]]:
        """Return the accounts that can express a job that exists; see `jobs.routing.Router`."""
        request = from_data(job.request or {})
        home = (job.attempts[0] if job.attempts else job).endpoint.adapter
        whole, url = _whole(request, job.media), self._own_url(job)
        fit = self.fit(self._order, whole, url, job_id=job.job_id, home=home)
        return self.ranked(fit), fit.refusals

    async def plan_anew(self, provider: str, job: Job, media: tuple[LocalMedium, ...]) -> PlannedJob:
        """Plan a job that exists for another account; see `jobs.routing.Router.plan`."""
        request = _whole(from_data(job.request or {}), media or job.media)
        submission = self._planners[provider].submission(request, self._own_url(job), job_id=job.job_id)
        prepared = await self.prepared(provider, submission, durable=job.durable)
        if {one.digest for one in prepared.media} != {one.digest for one in job.media}:
            raise InvalidRequestError("a local file of the request has changed since it was submitted")
        submission = evolve(submission, request=prepared.request)
        planner = self._planners[provider]
        message = evolve(planner.adapter.encode_submit(submission, planner.account), media=prepared.media)
        price = planner.price(request, submission.spec, source_duration=prepared.source_duration)
        return PlannedJob(provider=provider, submission=submission, message=message, media=prepared.media, price=price)

    async def prepared(self, provider: str, submission: Submission, *, durable: bool) -> PreparedRequest:
        """Read and check the local media of a request for an account; see `MediaPreparation.prepare`."""
        if not has_local_media(submission.request):
            return PreparedRequest(request=submission.request)
        preparation = self._planners[provider].media(submission.spec, self._limiter)
        try:
            return await preparation.prepare(submission.request, keeping=self._keeping if durable else None)
        except UnsupportedFeatureError as error:
            self._configured_first(error)
            raise

    def _own_url(self, job: Job) -> str | None:
        """Return the callback URL that the caller gave; `None` where it is that of the account."""
        if job.callback_url is None:
            return None
        url, planner = unnamed(job.callback_url), self._planners.get(job.endpoint.provider)
        return None if planner is not None and url == planner.settings.callback_url else url


def _rejections(refusals: Mapping[str, HappyHorseError], names: Iterable[str]) -> tuple[Rejection, ...]:
    return tuple(Rejection(name, refusals[name]) for name in names if name in refusals)


def _left_out_too(name: str, why: HappyHorseError) -> str:
    return f"{name} is left out at present, and asked all the same because no other account can: {why.message}"


def _not_written_for(provider: str, what: str, adapter: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"{what} of this request was written for {adapter}", feature=what.partition(" ")[0], provider=provider
    )


def _check_tokens(submission: Submission, provider: str) -> None:
    """Make sure that the prompt names reference images as the account does, if its notation is known."""
    request, own = submission.request, submission.spec.reference_name
    if own is None or not isinstance(request, ReferenceToVideo):
        return
    if any(pattern.search(request.prompt) for token, pattern in _TOKENS.items() if token != own):
        raise UnsupportedFeatureError(
            f"the prompts of {provider} name reference images {own} and so on",
            feature="reference images by another name",
            provider=provider,
        )


def _whole(request: VideoRequest, media: tuple[LocalMedium, ...]) -> VideoRequest:
    """Put local media back into a request that was recorded with tokens in their place."""
    known = {medium.digest: medium for medium in media}

    def whole(medium: Media) -> Media:
        token = _MEDIUM.search(medium) if isinstance(medium, str) else None
        found = known.get(token["digest"]) if token else None
        if found is None:
            return medium
        return found.content if found.content is not None else Path(found.path or "")

    changes: dict[str, Any] = {
        name: whole(getattr(request, name)) for name in ("image", "video") if hasattr(request, name)
    }
    if isinstance(request, ReferenceToVideo | VideoEdit):
        changes["images"] = tuple(whole(image) for image in request.images)
    return evolve(request, **changes) if known else request
