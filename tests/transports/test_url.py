"""URLs as they go onto the wire."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import happyhorse_async as hh
from happyhorse_async.transports.aiohttp import encode_url, request_url

if TYPE_CHECKING:
    from conftest import Fifth, Gateway

VIDEO = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x0emdat123456\0\0\0\x0cmoov1234"

URLS = [
    ("http://h/my video.mp4?Signature=a%2Fb", "http://h/my%20video.mp4?Signature=a%2Fb"),
    ("http://h/视频/火车.mp4?S=a%2Fb+c==", "http://h/%E8%A7%86%E9%A2%91/%E7%81%AB%E8%BD%A6.mp4?S=a%2Fb+c=="),
    ("http://h/a.mp4?name=火车 1", "http://h/a.mp4?name=%E7%81%AB%E8%BD%A6%201"),
    ("http://h/100%.mp4", "http://h/100%25.mp4"),
    ("http://h/100%25.mp4", "http://h/100%25.mp4"),
    ("http://h/50%off%2F.mp4", "http://h/50%25off%2F.mp4"),
    ("http://h/%e7%81%AB.mp4", "http://h/%e7%81%AB.mp4"),
    ('http://h/"<a>`{b}\\.mp4', "http://h/%22%3Ca%3E%60%7Bb%7D%5C.mp4"),
    ("http://h/[a]|b^c'd(e)!*;:@&=+$,~.mp4", "http://h/[a]|b^c'd(e)!*;:@&=+$,~.mp4"),
    ("http://h//a//b/../c?x=//", "http://h//a//b/../c?x=//"),
    ("http://h/a\r\nX-Evil: 1", "http://h/aX-Evil:%201"),
    (" http://h/a ", "http://h/a"),
    ("http://h/a\u00a0b\u3000c", "http://h/a%C2%A0b%E3%80%80c"),
    ("http://h/\U0001f682.mp4", "http://h/%F0%9F%9A%82.mp4"),
    ("http://h/latin\udce9", "http://h/latin%E9"),
    ("http://bücher.example:8080/a", "http://xn--bcher-kva.example:8080/a"),
    ("http://视频.example/a", "http://xn--cy2a840a.example/a"),
    ("http://\uff11\uff12\uff17.0.0.1/a", "http://127.0.0.1/a"),
    ("http://[::1]:80/a b", "http://[::1]:80/a%20b"),
]


@pytest.mark.parametrize(("url", "encoded"), URLS)
def test_what_a_url_cannot_hold_is_percent_encoded(url: str, encoded: str) -> None:
    """Spaces, letters beyond ASCII and single percent signs are encoded, and what is encoded stays as it is."""
    assert encoded == encode_url(url)
    assert encoded == encode_url(encoded)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_path_goes_onto_the_wire_as_ascii(text: str) -> None:
    """Whatever a path is made of, the request line holds it."""
    target = request_url(f"http://h/{text}").raw_path_qs

    assert target.isascii()
    assert not set(target) & set(" \r\n\t")


@pytest.mark.parametrize("location", [None, "/视频/火车 1.mp4?S=a%2Fb", "//{host}/视频/火车 1.mp4?S=a%2Fb"])
async def test_a_video_at_a_url_as_people_write_it(
    gateway: Gateway, fifth: Fifth, tmp_path: Path, location: str | None
) -> None:
    """Spaces and Chinese letters in a result URL, or in a redirect to it, cost no video."""
    encoded = "/%E8%A7%86%E9%A2%91/%E7%81%AB%E8%BD%A6%201.mp4"
    gateway.on("GET", encoded, gateway.reply(VIDEO))
    url = f"{gateway.url}/视频/火车 1.mp4?S=a%2Fb"
    if location is not None:
        host = gateway.url.removeprefix("http://")
        gateway.on("GET", "/old", gateway.reply(status=302, headers={"Location": location.format(host=host)}))
        url = f"{gateway.url}/old"
    video = hh.Video(url=url)
    task = hh.Task(ref=hh.TaskRef("fifth", "t-1"), status=hh.TaskStatus.SUCCEEDED, videos=(video,))

    async with fifth.open() as client:
        path = await client.download(task, tmp_path)

    assert VIDEO == path.read_bytes()
    assert f"{encoded}?S=a%2Fb" == gateway.requests[-1].target
