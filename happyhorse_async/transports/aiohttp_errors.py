"""Turns the exceptions of aiohttp, which may hold keys and signed URLs, into errors of the library."""

from __future__ import annotations

import os
import ssl

import aiohttp

from ..errors import TransportError
from ..messages import HttpRequest
from ..redaction import redact_url


class NotPublicError(aiohttp.ClientError):
    """The host is not on the public internet."""


class ClosedError(aiohttp.ClientError):
    """The transport is closed."""


class ProxyLoginError(aiohttp.ClientError):
    """The proxy wants to be logged in to."""


_PERMANENT = (
    aiohttp.ClientSSLError,
    aiohttp.InvalidURL,
    ssl.SSLError,
    NotPublicError,
    ClosedError,
    ProxyLoginError,
    # Not a URL, by the standard library or by yarl.
    ValueError,
)


def transport_error(
    error: Exception, request: HttpRequest, *, sent: bool, proxy: str | None = None, connect_timeout: float = 0.0
) -> TransportError:
    """
    Return the error of the library for *error*, which must not become its cause or context.

    :param sent: whether the connection was ready, so that some of the request may have left.
    :param proxy: the URL of the proxy that the request goes through.
    """
    way = "" if proxy is None else f" through the proxy {redact_url(proxy)}"
    never_sent = isinstance(error, NotPublicError | aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError)
    return TransportError(
        f"{request.method} {redact_url(request.url)}{way}: {_describe(error, sent, proxy, connect_timeout)}",
        sent=sent and not never_sent,
        retryable=not _is_permanent(error),
    )


def _is_permanent(error: Exception) -> bool:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return error.status == 407
    # A handshake that was cut off says nothing of the certificate.
    cut_off = isinstance(getattr(error, "os_error", error), ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return isinstance(error, _PERMANENT) and not cut_off


def _describe(error: Exception, sent: bool, proxy: str | None, connect_timeout: float) -> str:
    tunnelling = proxy is not None and not sent
    match error:
        case NotPublicError():
            return "the host is not on the public internet; allow_private_hosts=True permits it"
        case ClosedError():
            return "the client is closed"
        case ProxyLoginError():
            return "the proxy refused with status 407: it needs a user and a password in its URL"
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            return _describe_tls(error.certificate_error)
        case aiohttp.ClientConnectorSSLError():
            return _describe_tls(error.os_error)
        case ssl.SSLError():
            return _describe_tls(error)
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_reason(error.os_error)}"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {connect_timeout:g} s"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused with status {error.status}"
        case TimeoutError():
            return "no whole response in time" if sent else "no connection in time"
        case aiohttp.ServerDisconnectedError():
            return f"the {'proxy' if tunnelling else 'server'} closed the connection without a response"
        case aiohttp.ClientPayloadError():
            return "the response broke off before its end"
        case aiohttp.ClientResponseError():
            return f"the response{' of the proxy' if tunnelling else ''} is not HTTP"
        case aiohttp.InvalidURL() | ValueError():
            return "not a URL that can be requested"
        case OSError():
            return f"the connection broke: {_reason(error)}"
        case _:
            return f"the connection {'broke' if sent else 'failed'}: {type(error).__name__}"


def _describe_tls(error: Exception) -> str:
    # The words of OpenSSL, such as "certificate has expired", hold nothing secret.
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"no secure connection: {error.verify_message}; the variable SSL_CERT_FILE names the file of an authority "
            "of your own, such as a company's proxy"
        )
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    words = reason.replace("_", " ").lower() or type(error).__name__
    return f"no secure connection: {words}"


def _reason(error: OSError) -> str:
    # asyncio puts addresses where the system's own words belong.
    return os.strerror(error.errno) if error.errno else type(error).__name__
