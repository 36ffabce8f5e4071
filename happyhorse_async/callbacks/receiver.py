"""The receiver for a provider's webhooks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from ..client import Client
from ..client.client import lifecycle_of
from ..client.plan import named_account, named_job
from ..config import check_secret
from ..errors import CallbackRejectedError, ConfigurationError
from ..logs import get_logger
from ..messages import HttpRequest
from ..task import Task
from .asgi import AsgiApp
from .respond import LARGEST_BODY, check_encoding, lower_names, too_large

if TYPE_CHECKING:
    from aiohttp import web

_log = get_logger(__name__)

# A shorter secret is guessed in moments. Providers and password managers generate 16 characters and more.
_SHORTEST_SECRET = 4
_RECOMMENDED_SECRET = 16


class CallbackReceiver:
    """
    Receives a provider's webhooks (callbacks). They complement polling: a lost webhook costs only time.

    With a secret, a webhook that the provider has signed counts like one of the client's own polls. Without one, and
    where a provider does not sign, a webhook only triggers a poll. A provider that publishes the keys it signs with
    needs no secret: the client requests the keys and keeps them.

    It belongs to one client and all of its accounts, and can be created before the client is opened. Use
    `aiohttp_handler` or `asgi_app` in a web framework, or call `receive`.

    :param client: the client that submits, or another one for the same provider with the same store.
    :param secret: the secret that is shared with the provider, or several while they are rotated; by default the
        configured one of each account.
    :param body_timeout: seconds within which the body of a webhook must have arrived.
    :raises ConfigurationError: a secret is not text, shorter than 4 characters, begins or ends with white space, or is
        enclosed in quotation marks; or the configured one is missing; or the package that verifies the provider's
        signatures is not installed.
    """

    def __init__(
        self, client: Client, secret: str | Sequence[str] | None = None, *, body_timeout: float = 10.0
    ) -> None:
        self._lifecycle = lifecycle_of(client)
        self._provider = client.provider
        self._body_timeout = body_timeout
        try:
            # None: each account has its own.
            self._secrets = None if secret is None else _checked(_as_tuple(secret))
            secrets = self._secrets_of(self._provider)
        except ConfigurationError as error:
            # Error trackers record the local variables of each frame, and must not see a secret that is nearly right.
            refusal, secret = error.with_traceback(None), None
            raise refusal from None
        published = client.adapter.encode_callback_keys(self._lifecycle.planners[self._provider].settings.account)
        if secrets and published:
            warnings.warn(
                f"{client.provider!r} signs its webhooks with keys that it publishes: the secret is not used",
                stacklevel=2,
            )
        if not secrets and not published and client.adapter.capabilities.signed_callbacks:
            warnings.warn(
                f"no secret is set for the webhooks of {client.provider!r}: they cannot be verified, and each costs "
                "a poll of its task. Set callback_secret_env, or pass a secret to CallbackReceiver",
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
        Process one webhook, and return the present state of its task; `None` if it is genuine and not about our task.

        When this returns, the observation is in the store, and the response may be a 200. The
        same webhook again is harmless. When this raises, respond with `CallbackRejectedError.http_status`, and with 503
        for any other error, so that the provider sends the webhook again.

        :param headers: of the request, names in any case.
        :param body: of the request, exactly as it was received: neither decoded nor reformatted.
        :param query: of the URL that was called. It names the job, for a webhook that arrives before the submit was
            answered.
        :raises CallbackRejectedError: it is forged, too old, too large, compressed or not a webhook. Nothing changed.
        :raises ConfigurationError: headers or body are missing, or of the wrong type.
        :raises HappyHorseError: the store failed, or the poll that should confirm the webhook.
        :raises RuntimeError: the client is closed, or runs in another event loop.
        """
        message = HttpRequest(method="POST", url="", headers=_headers(headers), body=_body(body))
        check_encoding(message.headers)
        runtime = self._lifecycle.inside()
        account = runtime.accounts.named(self._account(query or ""))
        secrets = self._secrets_of(account.endpoint.provider)
        return await runtime.callbacks.process(account, message, secrets, job_id=named_job(query or ""))

    def _account(self, query: Mapping[str, str] | str) -> str:
        named = named_account(query) or self._provider
        if named not in self._lifecycle.planners:
            # The name is not repeated: the sender is not authenticated.
            raise CallbackRejectedError("the callback is about an account that this client does not have")
        return named

    def _secrets_of(self, provider: str) -> tuple[str, ...]:
        if self._secrets is not None:
            return self._secrets
        return _checked(self._lifecycle.planners[provider].callback_secrets())

    @cached_property
    def asgi_app(self) -> AsgiApp:
        """An ASGI app, to be mounted or routed to under any path: in FastAPI, Starlette, Litestar or Quart."""
        return AsgiApp(self.receive, timeout=self._body_timeout)

    async def aiohttp_handler(self, request: web.Request) -> web.Response:
        """Handle a request of an aiohttp app: `app.router.add_route("*", "/hooks/hiapi", receiver.aiohttp_handler)`."""
        from .aiohttp import handle  # noqa: PLC0415 - only needed in an aiohttp app

        return await handle(request, self.receive, timeout=self._body_timeout)


# The arguments come from the code of a web framework, which may not be type checked.
def _headers(headers: object) -> Mapping[str, str]:
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"receive() needs the headers of the request as a mapping, not {_type(headers)}")
    # Some frameworks give each header a list of values.
    pairs = [
        (name, value)
        for name, values in cast("Mapping[object, object]", headers).items()
        for value in (cast("list[object]", values) if isinstance(values, list) else [values])
    ]
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in pairs):
        raise ConfigurationError("receive() needs headers whose names and values are text")
    return lower_names(cast("list[tuple[str, str]]", pairs))


def _body(body: object) -> bytes:
    if not isinstance(body, bytes | bytearray):
        raise ConfigurationError(f"receive() needs the body as bytes, exactly as received, not {_type(body)}")
    if len(body) > LARGEST_BODY:
        raise too_large()
    return bytes(body)


def _as_tuple(secret: object) -> tuple[str, ...]:
    if isinstance(secret, str):
        return (secret,)
    if not isinstance(secret, Sequence) or isinstance(secret, bytes | bytearray):
        raise ConfigurationError(f"secret: expected text or a list of texts, not {_type(secret)}")
    secrets = cast("Sequence[object]", secret)
    if not secrets:
        raise ConfigurationError("secret: an empty list of secrets; leave it out if there is none")
    return tuple(check_secret(one, where="secret") for one in secrets)


def _checked(secrets: tuple[str, ...]) -> tuple[str, ...]:
    for secret in secrets:
        _check(secret)
    return secrets


def _check(secret: str) -> None:
    """Reject a secret that can match no signature or gives no protection. No error shows the secret."""
    check_secret(secret, where="secret")
    if secret != secret.strip():
        raise ConfigurationError(
            "the callback secret begins or ends with white space or a line break, so no signature would match; strip it"
        )
    if len(secret) > 1 and secret[0] == secret[-1] and secret[0] in "\"'":
        raise ConfigurationError(
            "the callback secret is enclosed in quotation marks, so no signature would match; remove them"
        )
    if len(secret) < _SHORTEST_SECRET:
        raise ConfigurationError(
            f"the callback secret has fewer than {_SHORTEST_SECRET} characters, so anyone could guess it; "
            f"use {_RECOMMENDED_SECRET} or more"
        )
    if len(secret) < _RECOMMENDED_SECRET:
        _log.warning("the callback secret is short; use %d characters or more", _RECOMMENDED_SECRET)


def _type(value: object) -> str:
    return "None" if value is None else value.__class__.__name__
