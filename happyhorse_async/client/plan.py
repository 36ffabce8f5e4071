"""From a request to the message that would be sent, without the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import anyio
from attrs import evolve, frozen

from ..adapter import Account, Adapter, Submission
from ..capabilities import ModelSpec
from ..config import SecretSource
from ..errors import InvalidRequestError, UnsupportedFeatureError
from ..jobs.account import new_job_id
from ..messages import HttpRequest
from ..price import PriceEstimate
from ..price_list import Price
from ..registry import explain_refusal
from ..request import VideoRequest
from .media import MediaPlan, MediaPreparation

_JOB = "happyhorse_job"


@frozen(kw_only=True)
class Plan:
    """What a submit would do, found out without the network."""

    provider: str
    """The name of the account: the configuration section, or the adapter."""
    model: str
    """The provider's model id."""
    messages: tuple[HttpRequest, ...]
    """What would be sent, in order. Their repr hides credentials; their `headers` do not."""
    warnings: tuple[str, ...] = ()
    """What may surprise the user, such as a costly default or a prompt that will be cut."""
    media: tuple[MediaPlan, ...] = ()
    """How each image and video would travel. Of local files only the size and the header were read."""
    rejected: tuple[()] = ()
    """Reserved for the accounts that would not get the job, and why."""
    price: PriceEstimate | None = None
    """What it will cost by list price; `None` where no price is known, never 0."""


@frozen(kw_only=True)
class Planner:
    """One account, and how a request is made for it."""

    adapter: Adapter
    account: Account
    callback_url: str | None = None
    """The callback URL for requests that have none of their own."""
    callback_secret: SecretSource | None = None
    """Where the secrets are configured that prove the sender of a callback."""
    prices: tuple[Price, ...] = ()
    """The prices that the user gave, as `configured_prices` reads them."""

    def callback_secrets(self) -> tuple[str, ...]:
        """
        Read the configured secrets for callbacks, if there are any.

        :raises ConfigurationError: they are configured, and cannot be read.
        """
        return self.callback_secret.read_all() if self.callback_secret else ()

    def submission(self, request: VideoRequest, callback_url: str | None) -> Submission:
        """
        Check *request* against what the provider accepts, and give it a job id.

        :raises UnsupportedFeatureError: the provider cannot express it. Names the providers that can.
        :raises InvalidRequestError: a value is out of range, or *request* is not a request.
        """
        if not isinstance(request, get_args(VideoRequest)):  # pyright: ignore[reportUnnecessaryIsInstance]
            names = ", ".join(cls.__name__ for cls in get_args(VideoRequest))
            raise InvalidRequestError(f"a request is one of {names}, not {type(request).__name__}")
        callback_url = callback_url or self.callback_url
        adapter, provider = self.adapter, self.account.provider
        try:
            spec = adapter.check(request, provider=provider, callback_url=callback_url)
        except (InvalidRequestError, UnsupportedFeatureError) as refusal:
            raise explain_refusal(refusal, adapter, request, provider=provider, callback_url=callback_url) from None
        job_id = new_job_id()
        named = None if callback_url is None else name_job(callback_url, job_id)
        return Submission(request=request, spec=spec, job_id=job_id, callback_url=named)

    def plan(self, request: VideoRequest, callback_url: str | None) -> Plan:
        """Return what a submit of *request* would do; raises what `submission` raises."""
        submission = self.submission(request, callback_url)
        prepared = self.media(submission.spec).plan(request)
        submission = evolve(submission, request=prepared.request)
        return Plan(
            provider=self.account.provider,
            model=submission.spec.model,
            messages=(self.adapter.encode_submit(submission, self.account),),
            warnings=(*self.adapter.warnings(submission, self.account), *prepared.warnings),
            media=prepared.plans,
            price=self.price(request, submission.spec, source_duration=prepared.source_duration),
        )

    def price(
        self, request: VideoRequest, spec: ModelSpec, *, source_duration: float | None = None
    ) -> PriceEstimate | None:
        """
        Return what *request* will cost; `None` where no price is known.

        :param spec: the model that was chosen for it.
        :param source_duration: the seconds of the video to edit, where it was measured.
        """
        prices = self.adapter.price_list(self.account, self.prices)
        return prices.estimate(request, spec, source_duration=source_duration)

    def media(self, spec: ModelSpec, limiter: anyio.CapacityLimiter | None = None) -> MediaPreparation:
        """Return what prepares local media for a model of this account, so many of them at once as *limiter* says."""
        return MediaPreparation(self.adapter, self.account, spec, limiter)


def name_job(callback_url: str, job_id: str) -> str:
    """Add our job id to a callback URL. A callback may arrive before the submit is answered."""
    parts = urlsplit(callback_url)
    return parts._replace(query="&".join(filter(None, [parts.query, f"{_JOB}={job_id}"]))).geturl()


def named_job(query: Mapping[str, str] | str) -> str | None:
    """Return our job id from the query of a callback URL, as `name_job` has added it."""
    return parse_qs(query).get(_JOB, [None])[-1] if isinstance(query, str) else query.get(_JOB)
