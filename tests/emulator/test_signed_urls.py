"""Links that die."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from happyhorse_async.emulator.signed_urls import SignedUrlError, SignedUrls

LINKS = SignedUrls(b"secret")


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def test_a_url_is_valid_until_it_expires() -> None:
    """It is valid to the second."""
    given = query(LINKS.make("http://host", "/videos/a.mp4", expires=1000.9))

    LINKS.check("/videos/a.mp4", given, now=999.9)
    with pytest.raises(SignedUrlError, match="expired") as caught:
        LINKS.check("/videos/a.mp4", given, now=1000)

    assert "AccessDenied" == caught.value.code


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/videos/b.mp4", {}),
        ("/videos/a.mp4", {"Expires": "2000"}),
        ("/videos/a.mp4", {"Expires": "x"}),
        ("/videos/a.mp4", {"Signature": ""}),
        ("/videos/a.mp4", {"Signature": "\udcff"}),
    ],
)
def test_a_changed_url_is_refused(path: str, change: dict[str, str]) -> None:
    """The signature is checked before the expiry."""
    given = query(LINKS.make("http://host", "/videos/a.mp4", expires=1000))

    with pytest.raises(SignedUrlError) as caught:
        LINKS.check(path, given | change, now=0)

    assert "SignatureDoesNotMatch" == caught.value.code


def test_a_url_of_another_emulator_is_refused() -> None:
    """Every emulator signs with a secret of its own."""
    given = query(SignedUrls(b"other").make("http://host", "/videos/a.mp4", expires=1000))

    with pytest.raises(SignedUrlError):
        LINKS.check("/videos/a.mp4", given, now=0)
    with pytest.raises(SignedUrlError):
        LINKS.check("/videos/a.mp4", {}, now=0)
