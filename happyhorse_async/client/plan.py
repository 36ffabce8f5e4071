"""Plans a request: the messages that would be sent, without using the network."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import anyio
from attrs import evolve, frozen

from ..adapter import Submission
from ..capabilities import ModelSpec
from ..config.urls import is_loopback
from ..errors import HappyHorseError, InvalidRequestError, UnsupportedFeatureError
from ..jobs.account import new_job_id
from ..logs import get_logger
from ..messages import HttpRequest
from ..price import PriceEstimate
from ..registry import explain_refusal
from ..request import VideoRequest
from .media import MediaPlan, MediaPreparation, with_urls
from .provider import AccountSettings

_log = get_logger(__name__)

_JOB = "happyhorse_job"
_ACCOUNT = "happyhorse_account"
_MEDIA_OPTIONS = frozenset({"inline_media", "upload"})
_OLD_PRICE = timedelta(days=180)


@frozen
class Rejection:
    """An account that cannot get a request."""

    provider: str
    """The name of the account: the configuration section, or the adapter."""
    error: HappyHorseError
    """Why."""


@frozen(kw_only=True)
class Plan:
    """The result of planning a submit, without using the network."""

    provider: str
    """The name of the account: the configuration section, or the adapter."""
    model: str
    """The provider's model id."""
    messages: tuple[HttpRequest, ...]
    """The messages to send, in order. Their repr hides credentials; their `headers` do not."""
    warnings: tuple[str, ...] = ()
    """Warnings for the user, such as a costly default or a prompt that will be truncated."""
    media: tuple[MediaPlan, ...] = ()
    """How each image and video would be delivered. Of local files only the size and the header were read."""
    rejected: tuple[Rejection, ...] = ()
    """The accounts of the routing that would not get the job, and why."""
    price: PriceEstimate | None = None
    """The estimated list price; `None` if no price is known, never 0."""


class Planner:
    """Plans requests for one account."""

    def __init__(self, settings: AccountSettings) -> None:
        self.settings = settings
        """How the account is configured. Its `account` raises a `ConfigurationError` if there is no key."""
        self.adapter = settings.adapter
        """The adapter of the account."""
        self.name = settings.name
        """The name of the account."""
        self._dates = set[str]()

    def callback_secrets(self) -> tuple[str, ...]:
        """
        Read the configured secrets for callbacks, if there are any.

        :raises ConfigurationError: they are configured but cannot be read.
        """
        secret = self.settings.callback_secret
        return secret.read_all() if secret else ()

    def submission(self, request: VideoRequest, callback_url: str | None, *, job_id: str | None = None) -> Submission:
        """
        Check *request* against the provider's capabilities, and give it a job id.

        :param job_id: the id of an existing job.
        :raises UnsupportedFeatureError: the provider cannot express it. The error names the providers that can.
        :raises InvalidRequestError: a value is out of range, or *request* is not a request.
        """
        if not isinstance(request, get_args(VideoRequest)):  # pyright: ignore[reportUnnecessaryIsInstance]
            names = ", ".join(cls.__name__ for cls in get_args(VideoRequest))
            raise InvalidRequestError(f"a request is one of {names}, not {type(request).__name__}")
        callback_url = callback_url or self.settings.callback_url
        adapter, provider = self.adapter, self.name
        try:
            # Options allow media that the adapter refuses: whether they do is found out when the media are examined.
            checked = with_urls(request) if self.settings.account.options.keys() & _MEDIA_OPTIONS else request
            spec = adapter.check(checked, provider=provider, callback_url=callback_url)
        except (InvalidRequestError, UnsupportedFeatureError) as refusal:
            raise explain_refusal(refusal, adapter, request, provider=provider, callback_url=callback_url) from None
        job_id = new_job_id() if job_id is None else job_id
        named = None if callback_url is None else name_job(callback_url, provider, job_id)
        return Submission(request=request, spec=spec, job_id=job_id, callback_url=named)

    def plan(self, submission: Submission) -> Plan:
        """Return the plan of *submission*; raises the errors of the check of its local media."""
        prepared = self.media(submission.spec).plan(submission.request)
        price = self.price(submission.request, submission.spec, source_duration=prepared.source_duration)
        submission = evolve(submission, request=prepared.request)
        return Plan(
            provider=self.name,
            model=submission.spec.model,
            messages=(self.adapter.encode_submit(submission, self.settings.account),),
            warnings=(*self.adapter.warnings(submission, self.settings.account), *prepared.warnings),
            media=prepared.plans,
            price=price,
        )

    def price(
        self, request: VideoRequest, spec: ModelSpec, *, source_duration: float | None = None
    ) -> PriceEstimate | None:
        """
        Return the price estimate of *request*; `None` if no price is known.

        :param spec: the selected model.
        :param source_duration: the length of the video to edit in seconds, if it was measured.
        """
        price = self.settings.price_list.estimate(request, spec, source_duration=source_duration)
        if price is not None and price.as_of not in self._dates:
            self._dates.add(price.as_of)
            self._check_age(price)
        return price

    def _check_age(self, price: PriceEstimate) -> None:
        is_paid = not is_loopback(self.settings.keyless.base_url)
        if is_paid and price.age(datetime.now(UTC).date()) > _OLD_PRICE:
            _log.warning(
                "the prices of %s are of %s: set your own in [providers.%s.prices] if %s has changed them",
                self.name,
                price.as_of,
                self.name,
                self.adapter.title,
            )

    def media(self, spec: ModelSpec, limiter: anyio.CapacityLimiter | None = None) -> MediaPreparation:
        """Return what prepares local media for a model of this account, so many of them at once as *limiter* says."""
        return MediaPreparation(self.adapter, self.settings.account, spec, limiter)


def name_job(callback_url: str, provider: str, job_id: str) -> str:
    """Add the account and our job id to a callback URL. A callback may arrive before the submit is answered."""
    parts = urlsplit(callback_url)
    added = f"{_ACCOUNT}={provider}&{_JOB}={job_id}"
    return parts._replace(query="&".join(filter(None, [parts.query, added]))).geturl()


def unnamed(callback_url: str) -> str:
    """Return a callback URL without the parameters added by `name_job`."""
    parts = urlsplit(callback_url)
    own = (f"{_ACCOUNT}=", f"{_JOB}=")
    return parts._replace(query="&".join(one for one in parts.query.split("&") if not one.startswith(own))).geturl()


def named_job(query: Mapping[str, str] | str) -> str | None:
    """Return our job id from the query of a callback URL, as added by `name_job`."""
    return _value(query, _JOB)


def named_account(query: Mapping[str, str] | str) -> str | None:
    """Return the account from the query of a callback URL, as added by `name_job`."""
    return _value(query, _ACCOUNT)


def _value(query: Mapping[str, str] | str, name: str) -> str | None:
    return parse_qs(query).get(name, [None])[-1] if isinstance(query, str) else query.get(name)
