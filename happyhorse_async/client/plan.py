"""From a request to the message that would be sent, without the network."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from attrs import frozen

from ..adapter import Account, Adapter, Submission
from ..messages import HttpRequest
from ..registry import check_request
from ..request import VideoRequest

_JOB = "happyhorse_job"


@frozen(kw_only=True)
class Plan:
    """What a submit would do, found out without the network."""

    provider: str
    """The configuration section's or adapter's name."""
    model: str
    """The provider's model id."""
    messages: tuple[HttpRequest, ...]
    """What would be sent, in order. Their repr hides credentials; their `headers` do not."""
    warnings: tuple[str, ...] = ()
    """What may surprise: a costly default, a prompt that will be cut; from an open client, a wait of hours."""


@frozen(kw_only=True)
class Planner:
    """Knows how one account is asked."""

    adapter: Adapter
    account: Account
    callback_url: str | None = None
    """Where the provider shall call, where the caller names nothing else."""

    def submission(self, request: VideoRequest, callback_url: str | None) -> Submission:
        """
        Hold *request* against what the provider takes, and give it a job id.

        :raises UnsupportedFeatureError: the provider cannot express it. Names the providers that can.
        :raises InvalidRequestError: a value is out of range.
        """
        callback_url = callback_url or self.callback_url
        spec = check_request(self.adapter, request, provider=self.account.provider, callback_url=callback_url)
        job_id = new_job_id()
        named = None if callback_url is None else name_job(callback_url, job_id)
        return Submission(request=request, spec=spec, job_id=job_id, callback_url=named)

    def plan(self, request: VideoRequest, callback_url: str | None) -> Plan:
        """Say what a submit of *request* would do; raises what `submission` raises."""
        submission = self.submission(request, callback_url)
        return Plan(
            provider=self.account.provider,
            model=submission.spec.model,
            messages=(self.adapter.encode_submit(submission, self.account),),
            warnings=self.adapter.warnings(submission, self.account),
        )


def new_job_id() -> str:
    """Make an id for a job: ours, and unique without asking anybody."""
    return f"hh-{uuid4().hex}"


def name_job(callback_url: str, job_id: str) -> str:
    """Add the id of our job to a URL that its provider shall call. A call may arrive before the submit is answered."""
    parts = urlsplit(callback_url)
    return parts._replace(query="&".join(filter(None, [parts.query, f"{_JOB}={job_id}"]))).geturl()


def named_job(query: Mapping[str, str] | str) -> str | None:
    """Return the id of our job that stands in the query of a URL that was called, as `name_job` has put it there."""
    return parse_qs(query).get(_JOB, [None])[-1] if isinstance(query, str) else query.get(_JOB)
