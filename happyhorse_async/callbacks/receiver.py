"""The front door for a provider's calls."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ..client import Client
from ..client.plan import named_job
from ..config import check_secret
from ..errors import ConfigurationError
from ..messages import HttpRequest
from ..task import Task
from .asgi import AsgiApp
from .respond import LARGEST_BODY, lower_names, too_large

if TYPE_CHECKING:
    from aiohttp import web


class CallbackReceiver:
    """
    Takes in what a provider says of tasks by calling a URL of yours, next to what the client sees when it looks.

    With a secret, a call that the provider has signed counts like a look of the client's own. Without one, and where a
    provider does not sign, a call is only a reason to look. A call that is lost costs time and nothing else.

    It belongs to one client, and can be made before that is opened. Hand `aiohttp_handler` or `asgi_app` to a web
    framework, or call `receive`.

    :param client: the client that submits, or another one for the same provider that shares its store.
    :param secret: what is shared with the provider, or several while they are rotated; by default what the
        configuration names.
    :param body_timeout: seconds within which the body of a call must have arrived.
    :raises ConfigurationError: a secret is empty, or the configured one is missing.
    """

    def __init__(
        self, client: Client, secret: str | Sequence[str] | None = None, *, body_timeout: float = 10.0
    ) -> None:
        self._client = client
        self._secrets = client.callback_secrets() if secret is None else _checked(secret)
        self._body_timeout = body_timeout
        if not self._secrets and client.adapter.capabilities.signed_callbacks:
            warnings.warn(
                f"no secret is set for the callbacks of {client.provider!r}: whoever calls is not believed, and every "
                "call costs a look at the task. Set callback_secret_env, or give CallbackReceiver a secret",
                stacklevel=2,
            )

    async def receive(
        self,
        headers: Mapping[str, str],
        body: bytes,
        *,
        query: Mapping[str, str] | str | None = None,
    ) -> Task | None:
        """
        Take in one call, and return how its task stands now; `None` if it is genuine and about no task of ours.

        Once this returns, what the call has said of a task of ours is in the store, and the call can be answered with a
        200. The same call again is harmless. When this raises, answer with `CallbackRejectedError.http_status`, and
        with a 503 for any other error, so that the provider calls again.

        :param headers: of the request, in any case.
        :param body: of the request, to the byte: neither decoded nor written anew.
        :param query: of the URL that was called. It says which job was meant, for a call that overtakes the answer to
            its submit.
        :raises CallbackRejectedError: it is forged, stale, too large or no callback at all. It has changed nothing.
        :raises HappyHorseError: the store does not take it, or a look that was to confirm it has failed.
        :raises RuntimeError: the client is closed, or runs in another event loop.
        """
        if len(body) > LARGEST_BODY:
            raise too_large()
        message = HttpRequest(method="POST", url="", headers=lower_names(headers.items()), body=body)
        return await self._client.take_callback(message, self._secrets, job_id=named_job(query or ""))

    @cached_property
    def asgi_app(self) -> AsgiApp:
        """An ASGI app, to be mounted or routed to under any path: in FastAPI, Starlette, Litestar or Quart."""
        return AsgiApp(self.receive, timeout=self._body_timeout)

    async def aiohttp_handler(self, request: web.Request) -> web.Response:
        """Handle a request of an aiohttp app: `app.router.add_route("*", "/hooks/hiapi", receiver.aiohttp_handler)`."""
        from .aiohttp import handle  # noqa: PLC0415 - only an app of aiohttp needs it

        return await handle(request, self.receive, timeout=self._body_timeout)


def _checked(secret: str | Sequence[str]) -> tuple[str, ...]:
    secrets = (secret,) if isinstance(secret, str) else tuple(secret)
    if not secrets:
        raise ConfigurationError("secret: an empty list of secrets; leave it out where there is none")
    return tuple(check_secret(one, where="secret") for one in secrets)
