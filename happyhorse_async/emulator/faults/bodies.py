"""Faults of the body: a complete HTTP response whose body is not the provider's, not JSON or too costly to read."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

from attrs import evolve

from ...messages import HttpResponse
from .fault import API, CallContext, Fault, ResponseChange

_PORTAL = """<!DOCTYPE html>
<html><head><title>Welcome</title><style>body { color: grey }</style></head>
<body><h1>Please log in</h1><p>This network asks for a password.</p></body></html>
"""
_CHALLENGE = """<!DOCTYPE html>
<html><head><title>Just a moment...</title></head>
<body><p>Enable JavaScript and cookies to continue.</p></body></html>
"""
_GATEWAY = "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center></body>\r\n</html>\r\n"


def page(
    summary: str,
    status: int,
    body: str | None = None,
    *,
    accepted: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """
    Answer with an error page of a server between client and provider, such as a gateway, a CDN or a proxy.

    :param body: its HTML; by default nginx's page with *summary* as the headline.
    """
    content = (_GATEWAY.format(summary) if body is None else body).encode()
    fields = {"content-type": "text/html; charset=utf-8", **(headers or {})}

    def change(response: HttpResponse, call: CallContext) -> HttpResponse:
        return HttpResponse(status=status, headers=fields, body=content)

    return Fault(summary, accepted=accepted, response=change)


def _gateway(title: str, note: str, *, accepted: bool = True) -> Fault:
    found = page(title, int(title[:3]), accepted=accepted)
    return evolve(found, summary=f"a gateway's HTML page with {title[:3]}{note}")


def _empty(status: int) -> ResponseChange:
    return lambda response, call: HttpResponse(status=status)


def _json(status: int, value: object) -> ResponseChange:
    headers = {"content-type": "application/json"}
    return lambda response, call: HttpResponse(status=status, headers=headers, body=json.dumps(value).encode())


def _half(response: HttpResponse, call: CallContext) -> HttpResponse:
    return evolve(response, body=response.body[: len(response.body) // 2])


def _with_member(summary: str, value: bytes) -> Fault:
    """Add one member to the JSON object, with *value* as JSON text."""

    def change(response: HttpResponse, call: CallContext) -> HttpResponse:
        return evolve(response, body=response.body.replace(b"{", b'{"emulated_fault": ' + value + b", ", 1))

    return Fault(summary, on=API, response=change)


def _recoded(summary: str, encoding: str) -> Fault:
    def change(response: HttpResponse, call: CallContext) -> HttpResponse:
        return evolve(response, body=response.body.decode().encode(encoding))

    return Fault(summary, on=API, response=change)


def _labelled(label: str) -> ResponseChange:
    return lambda response, call: evolve(response, headers={**response.headers, "content-encoding": label})


def _compressed(label: str, wbits: int, *, padding: int = 0) -> ResponseChange:
    """
    Compress the body, although the client asked for `identity`.

    :param padding: bytes of blanks after it, in compressed form.
    """

    def change(response: HttpResponse, call: CallContext) -> HttpResponse:
        compressor = zlib.compressobj(9, wbits=wbits)
        blank = b" " * 65536
        body = compressor.compress(response.body)
        body += b"".join(compressor.compress(blank) for _ in range(padding // len(blank))) + compressor.flush()
        return evolve(response, headers={**response.headers, "content-encoding": label}, body=body)

    return change


_GZIP, _ZLIB = 31, 15
_DEEP = b"[" * 100_000 + b"]" * 100_000

BODIES: dict[str, Fault] = {
    "half-json": Fault("a 200 with the first half of the body", response=_half),
    "empty-200": Fault("a 200 without a body", response=_empty(200)),
    "empty-204": Fault("a 204", response=_empty(204)),
    "html-200": page("the page of a captive portal with 200", 200, _PORTAL),
    "html-400": _gateway("400 Bad Request", "", accepted=False),
    "html-401": page(
        "the login page of a proxy with 401",
        401,
        _PORTAL,
        accepted=False,
        headers={"www-authenticate": 'Basic realm="proxy"'},
    ),
    "html-403": page(
        "the challenge page of a CDN with 403",
        403,
        _CHALLENGE,
        accepted=False,
        headers={"server": "cloudflare", "cf-mitigated": "challenge"},
    ),
    "html-404": _gateway("404 Not Found", "", accepted=False),
    "html-405": _gateway("405 Not Allowed", ", as firewalls give it", accepted=False),
    "html-444": _gateway("444 No Response", ": it gave up, and the request may have been accepted"),
    "html-460": _gateway("460 Client Closed Connection", ": it gave up, and the request may have been accepted"),
    "html-499": _gateway("499 Client Closed Request", ": it gave up, and the request may have been accepted"),
    "html-502": _gateway("502 Bad Gateway", ""),
    "html-503": _gateway("503 Service Temporarily Unavailable", ", which may come after the request was accepted"),
    "gateway-json-404": Fault(
        "a gateway's JSON with 404, which is not in the provider's format",
        accepted=False,
        response=_json(404, {"message": "no Route matched with those values"}),
    ),
    "huge-json": _with_member("JSON of more than 1 MiB", b'"' + b"x" * 1_200_000 + b'"'),
    "gzip-bomb": Fault(
        "a compressed body that decompresses to 32 MiB",
        response=_compressed("gzip", _GZIP, padding=32 * 1024 * 1024),
    ),
    "gzip": Fault("a gzip body, although `identity` was asked for", response=_compressed("gzip", _GZIP)),
    "deflate": Fault("a deflate body, although `identity` was asked for", response=_compressed("deflate", _ZLIB)),
    "zlib-unlabelled": Fault(
        "a body that is compressed as zlib does, labelled as not compressed", response=_compressed("identity", _ZLIB)
    ),
    "coding-utf-8": Fault("a `Content-Encoding: utf-8`, which names no compression", response=_labelled("utf-8")),
    "deep-json": _with_member("JSON that is nested 100,000 deep", _DEEP),
    "bad-utf-8": _with_member("bytes that are not UTF-8", b'"\xff\xfe"'),
    "byte-order-mark": _recoded("JSON behind a byte order mark", "utf-8-sig"),
    "utf-16": _recoded("JSON in UTF-16", "utf-16"),
    "lone-surrogate": _with_member("half of a surrogate pair", b'"\\ud800"'),
    "nan": _with_member("`NaN` for a number", b"NaN"),
    "infinite-number": _with_member("a number beyond the largest", b"1e999"),
    "long-number": _with_member("a number of 5,000 digits", b"7" * 5000),
}
"""By name."""
