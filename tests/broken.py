"""Answers that nobody can read, as they are on the wire: a status, or bytes and what becomes of the connection."""

from __future__ import annotations

from typing import Any

BROKEN: dict[str, Any] = {
    "no answer": b"",
    "a reset": (b"", "reset"),
    "a cut body": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"id": "t-1", "sta',
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "408": 408,
    "500": 500,
    "502": 502,
    "503": 503,
    "504": 504,
    "HTML with 502": b"HTTP/1.1 502 Bad\r\n\r\n<html><h1>Bad gateway</h1>",
    "HTML with 200": b"HTTP/1.1 200 OK\r\n\r\n<html>Please log in",
    "nothing with 200": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a list": b"HTTP/1.1 200 OK\r\n\r\n[1]",
    "a compressed body": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
}
