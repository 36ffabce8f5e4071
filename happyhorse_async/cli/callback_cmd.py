"""`callback send`: sends one webhook to the user's own endpoint, as a provider would."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from attrs import evolve
from cyclopts import App

from ..adapter import Adapter, Submission
from ..emulation import CallbackNotice, EmulatedAPI, Job, SubmitCall
from ..errors import ConfigurationError
from ..messages import HttpRequest
from ..registry import emulated_api_names, find_adapter, find_emulated_api
from ..request import TextToVideo, VideoRequest
from ..task import FailureReason, Task, TaskFailure, TaskRef, TaskStatus, Usage, Video
from .exit_codes import ExitCode
from .options import Common

if TYPE_CHECKING:
    from ..config.settings import ProviderSettings
    from .output import Output

_COMMON = Common()
_TIMEOUT = 10.0
_NO_SECRET = "no secret is configured for {}: the webhook is not signed, and a receiver does not trust it"  # noqa: S105


def callback_app(output: Output) -> App:
    """Make the command `callback` with its subcommands."""
    app = App(name="callback", help="Try out your own webhook endpoint.", help_format="plaintext", version_flags=())

    async def send(
        url: str | None = None,
        /,
        *,
        status: Literal["SUCCEEDED", "FAILED"] = "SUCCEEDED",
        provider: str | None = None,
        common: Common = _COMMON,
    ) -> ExitCode:
        """
        Send a webhook to your own endpoint, about a task that does not exist. Exit code 3 if it does not answer 2xx.

        It is written and signed as the provider does, with the configured secret. No job changes: to try a whole job,
        use the emulator.

        :param url: The endpoint. The default is the callback_url of the configuration.
        :param status: How the task ended.
        :param provider: The section of the configuration, or without a file an adapter.
        """
        from .session import Session  # noqa: PLC0415 - as the module `commands` says

        chosen = Session(common).settings.choose(provider)
        return await _send(output, chosen, url, failed=status == "FAILED")

    app.command(send, name="send")
    return app


async def _send(output: Output, account: ProviderSettings, url: str | None, *, failed: bool) -> ExitCode:
    from ..errors import TransportError  # noqa: PLC0415 - as the module `commands` says
    from ..transports.aiohttp import AiohttpTransport  # noqa: PLC0415

    message = _message(output, account, url, failed=failed)
    transport = AiohttpTransport()
    try:
        response = await transport.send(message, timeout=_TIMEOUT)
    except TransportError as error:
        output.error(error)
        return ExitCode.REFUSED
    finally:
        await transport.aclose()
    output.event("callback_sent", status=response.status)
    output.line(f"the endpoint has answered {response.status}")
    return ExitCode.OK if response.ok else ExitCode.REFUSED


def _message(output: Output, account: ProviderSettings, url: str | None, *, failed: bool) -> HttpRequest:
    """
    Write the webhook.

    :raises ConfigurationError: the provider sends no webhooks, or there is no URL.
    """
    from ..config import check_url  # noqa: PLC0415

    api = find_emulated_api(account.adapter) if account.adapter in emulated_api_names() else None
    if api is None or api.callback_rules is None:
        raise ConfigurationError(f"{account.adapter} sends no webhooks")
    target = url or account.callback_url
    if target is None:
        raise ConfigurationError(f"no URL: name one, or set callback_url for {account.name}")
    check_url(target, where="the URL")
    signing = account.callback_secret.read_all() if account.callback_secret else ()
    if not signing:
        output.warn(_NO_SECRET.format(account.name))
    now = datetime.now(UTC)
    notice = CallbackNotice(
        job=_job(api, find_adapter(account.adapter), now, failed=failed),
        url=target,
        event_id=str(uuid4()),
        sent_at=now,
        secret=signing[0] if signing else None,
    )
    return api.write_callback(notice)


def _job(api: EmulatedAPI, adapter: Adapter, now: datetime, *, failed: bool) -> Job:
    request = _request(api, adapter)
    ended = Task(
        ref=TaskRef(api.name, api.task_id(secrets.randbits(128))),
        status=TaskStatus.FAILED if failed else TaskStatus.SUCCEEDED,
        progress=100.0,
        videos=() if failed else (Video(url="https://video.invalid/made-up.mp4", duration=5.0),),
        error=TaskFailure(reason=FailureReason.CONTENT_REJECTED) if failed else None,
        usage=None if failed else Usage(duration=5.0, output_duration=5.0, resolution="720P", count=1),
        model=request.model,
        created_at=now - timedelta(minutes=2),
        started_at=now - timedelta(minutes=1),
        finished_at=now,
    )
    return Job(request=request, task=ended, seen=ended, submit_id=str(uuid4()))


def _request(api: EmulatedAPI, adapter: Adapter) -> VideoRequest:
    """Make a request as the provider would read it, with its defaults."""
    request = TextToVideo("happyhorse callback send", resolution="720P", duration=5)
    account = adapter.account(provider=adapter.name, api_key="made-up-key", base_url=None, region=None, options=None)
    submission = Submission(request=request, spec=adapter.check(request, provider=adapter.name), job_id="hh-made-up")
    message = adapter.encode_submit(submission, account)
    call = api.read(evolve(message, headers={name.lower(): value for name, value in message.headers.items()}))
    assert isinstance(call, SubmitCall)
    return call.request
