"""TLS failures: nothing is sent, nothing is downgraded, and the error has OpenSSL's reason."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import happyhorse_async as hh
from happyhorse_async.transports.aiohttp import AiohttpTransport

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


def make_certificate(folder: Path, subject: str, days: int) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate that is valid for so many *days*; return a server's side of TLS, and one that trusts it."""
    key, request, certificate = folder / "key.pem", folder / "request.pem", folder / "certificate.pem"
    new = [
        "openssl",
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        request,
        "-subj",
        f"/CN={subject}",
    ]
    sign = ["openssl", "x509", "-req", "-in", request, "-signkey", key, "-out", certificate, "-days", str(days)]
    for command in (new, sign):
        subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    trust = ssl.create_default_context(cafile=str(certificate))
    # Python 3.13 and newer demand extensions that this certificate does not have.
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context, trust


async def fail(url: str, trust: ssl.SSLContext | None = None) -> hh.TransportError:
    """Send a request that fails."""
    async with aiohttp.TCPConnector(ssl=trust or True) as connector:
        transport = AiohttpTransport(connector=connector)
        with pytest.raises(hh.TransportError) as raised:
            await transport.send(hh.HttpRequest(method="POST", url=url, body=b"{}"), timeout=10)
        await transport.aclose()
    return raised.value


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncGenerator[str]:
    """Serve TLS."""
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/videos"


@pytest.mark.fault(4)
async def test_an_unknown_authority(tmp_path: Path) -> None:
    """A company's proxy is a self-signed certificate to us: the error says how to trust it."""
    context, _ = await asyncio.to_thread(make_certificate, tmp_path, "localhost", 9)

    async with serving(context) as url:
        error = await fail(url)

    assert "self-signed certificate" in str(error).replace("self signed", "self-signed")
    assert "SSL_CERT_FILE" in str(error)
    assert (False, False) == (error.sent, error.retryable)


@pytest.mark.fault(4)
@pytest.mark.parametrize(
    ("subject", "days", "reason"), [("other.example", 9, "mismatch"), ("localhost", -1, "certificate has expired")]
)
async def test_a_certificate_of_another_host_or_time(tmp_path: Path, subject: str, days: int, reason: str) -> None:
    """The error says whether the name or the date is wrong."""
    context, trust = await asyncio.to_thread(make_certificate, tmp_path, subject, days)

    async with serving(context) as url:
        error = await fail(url, trust)

    assert reason in str(error)
    assert "SSL_CERT_FILE" not in str(error)
    assert (False, False) == (error.sent, error.retryable)


@pytest.mark.fault(4)
async def test_a_port_that_does_not_speak_tls() -> None:
    """Plain HTTP behind https is told apart from a wrong certificate."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        error = await fail(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/videos")

    assert "wrong version number" in str(error)
    assert (False, False) == (error.sent, error.retryable)


@pytest.mark.fault(4)
async def test_a_handshake_that_breaks_off_is_tried_again() -> None:
    """A connection that ends during the handshake says nothing of the certificate, and nothing was sent."""

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        error = await fail(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/videos")

    assert (False, True) == (error.sent, error.retryable)
