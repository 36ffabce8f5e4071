"""Responses that are compressed, or labelled as if they were: what can be read is read, within the limit."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest

import happyhorse_async as hh
from happyhorse_async.transports.aiohttp import LARGEST_BODY, AiohttpTransport

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

BODY = json.dumps({"id": "t-1", "status": "queued"}).encode()


def raw_deflate(data: bytes) -> bytes:
    """Compress as some servers do that call it deflate."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


READABLE = {
    "utf-8": ("utf-8", BODY),
    "UTF-8": ("UTF-8", BODY),
    "none": ("none", BODY),
    "binary": ("binary", BODY),
    "8bit": ("8bit", BODY),
    "chunked": ("chunked", BODY),
    "aws-chunked": ("aws-chunked", BODY),
    "application/json": ("application/json", BODY),
    "identity twice": ("identity, identity", BODY),
    "nonsense": ("?,;,", BODY),
    "gzip": ("gzip", gzip.compress(BODY)),
    "GZIP": ("GZIP", gzip.compress(BODY)),
    "x-gzip": ("x-gzip", gzip.compress(BODY)),
    "gzip and a charset": ("gzip, utf-8", gzip.compress(BODY)),
    "gzip twice": ("gzip, gzip", gzip.compress(gzip.compress(BODY))),
    "gzip without a label": ("", gzip.compress(BODY)),
    "gzip with a wrong label": ("utf-8", gzip.compress(BODY)),
    "a label of gzip on plain JSON": ("gzip", BODY),
    "a label of brotli on plain JSON": ("br", BODY),
    "a label of deflate on plain JSON": ("deflate", BODY),
    "deflate": ("deflate", zlib.compress(BODY)),
    "bare deflate": ("deflate", raw_deflate(BODY)),
    "gzip in two members": ("gzip", gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])),
    "zlib with a label of gzip": ("gzip", zlib.compress(BODY)),
    "gzip with a label of deflate": ("deflate", gzip.compress(BODY)),
    "zlib without a label": ("identity", zlib.compress(BODY)),
    "deflate of gzip": ("gzip, deflate", zlib.compress(gzip.compress(BODY))),
    "gzip of deflate": ("deflate, gzip", gzip.compress(raw_deflate(BODY))),
}


@pytest.fixture
async def transport() -> AsyncGenerator[AiohttpTransport]:
    """Open a transport."""
    transport = AiohttpTransport()
    yield transport
    await transport.aclose()


@pytest.mark.fault(20)
@pytest.mark.parametrize("status", [200, 206, 400])
@pytest.mark.parametrize(("label", "body"), READABLE.values(), ids=READABLE)
async def test_a_readable_body_is_read_whatever_its_label(
    gateway: Gateway, transport: AiohttpTransport, label: str, body: bytes, status: int
) -> None:
    """A label that names no compression is ignored, and gzip and deflate are unpacked."""
    gateway.on("POST", "/videos", gateway.reply(body, status=status, headers={"Content-Encoding": label}))

    response = await transport.send(hh.HttpRequest(method="POST", url=f"{gateway.url}/videos", body=b"{}"), timeout=5)

    assert BODY == response.body


@pytest.mark.parametrize("label", ["utf-8", "gzip", "deflate"])
@pytest.mark.parametrize("status", [200, 206])
async def test_a_task_is_found_behind_an_odd_label(gateway: Gateway, fifth: Fifth, label: str, status: int) -> None:
    """A paid task whose id arrives with an odd header is not of unknown outcome, and its polls are understood."""
    pack = {"utf-8": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[label]

    def reply(value: dict[str, object]) -> object:
        body = pack(json.dumps(value).encode())
        return gateway.reply(body, status=status, headers={"Content-Encoding": label})

    gateway.on("POST", "/videos", reply({"id": "t-1", "status": "queued"}))
    gateway.show("t-1", reply({"id": "t-1", "status": "done", "urls": ["https://files.example/v.mp4"]}))

    async with fifth.open() as client:
        task = await client.generate(hh.TextToVideo("a train"))

    assert hh.TaskStatus.SUCCEEDED is task.status


BOMB = gzip.compress(b"[" + b"0" * 100_000_000)
DEFLATE_BOMB = zlib.compress(b"[" + b"0" * 100_000_000)


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("label", "body", "reason"),
    [
        ("gzip", BOMB, f"larger than {LARGEST_BODY} bytes"),
        ("gzip, gzip", gzip.compress(BOMB), f"larger than {LARGEST_BODY} bytes"),
        ("utf-8", BOMB, f"larger than {LARGEST_BODY} bytes"),
        ("deflate", DEFLATE_BOMB, f"larger than {LARGEST_BODY} bytes"),
        ("gzip", gzip.compress(BODY)[:-9], "ends too early"),
        ("gzip", gzip.compress(BODY)[:10] + b"\xff" * 20, "damaged"),
        ("deflate", b"\xff\xff\xff", "damaged"),
        ("br", b"\x0b\x02\x80hello\x03", "compressed with br"),
        ("zstd", b"\x28\xb5\x2f\xfd\0", "compressed with zstd"),
        ("compress", b"\x1f\x9d\x90", "compressed with compress"),
    ],
    ids=["bomb", "bomb in a bomb", "mislabelled", "deflate bomb", "cut", "damaged", "junk", "br", "zstd", "compress"],
)
async def test_what_cannot_be_unpacked_is_an_invalid_response(
    gateway: Gateway, transport: AiohttpTransport, label: str, body: bytes, reason: str
) -> None:
    """A bomb ends at the limit, without filling the memory; other compressions are refused by name."""
    gateway.on("POST", "/videos", gateway.reply(body, headers={"Content-Encoding": label}))
    request = hh.HttpRequest(method="POST", url=f"{gateway.url}/videos", body=b"{}")

    tracemalloc.start()
    with pytest.raises(hh.InvalidResponseError, match=reason) as raised:
        await transport.send(request, timeout=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert 200 == raised.value.status_code
    assert peak < 8 * LARGEST_BODY


async def test_a_compressed_answer_that_breaks_off(gateway: Gateway, fifth: Fifth) -> None:
    """What has arrived of a compressed response is unpacked: a whole object has the task's id."""
    body = gzip.compress(BODY)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(body) + 9)
    gateway.on("POST", "/videos", gateway.raw(head + body, "close"))

    async with fifth.open() as client:
        handle = await client.submit(hh.TextToVideo("a train"))

    assert "fifth:t-1" == str(handle.ref)
