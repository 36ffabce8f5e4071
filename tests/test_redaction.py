"""What may not be read in any output."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.redaction import MASK, SecretUrl, contains_secret, redact_headers, redact_text, redact_url

SECRET = "c4n4ryS1gn4tur3"

# All that RFC 3986 lets stand in a query or a fragment.
_QUERY = st.text("abcXYZ0189-._~!$&'()*+,;=:@/?%")
_ANY_TEXT = st.text(st.characters(exclude_categories=[]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no URL at all? no # either", "no URL at all? no # either"),
        ("https://a.example/v.mp4", "https://a.example/v.mp4"),
        ("https://a.example/v.mp4?Expires=1&Signature=x", "https://a.example/v.mp4?***"),
        ("https://a.example/v.mp4#token", "https://a.example/v.mp4?***"),
        ("HTTPS://A.EXAMPLE/v.mp4?Signature=x", "HTTPS://A.EXAMPLE/v.mp4?***"),
        ("oss://bucket/v.mp4?Signature=x", "oss://bucket/v.mp4?***"),
        ("//a.example/v.mp4?Signature=x", "//a.example/v.mp4?***"),
        (
            "see https://a.example/v?x=1 and http://b.example/w?y=2 too",
            "see https://a.example/v?*** and http://b.example/w?*** too",
        ),
        ("{'url': 'https://a.example/v?x=1', 'n': 2}", "{'url': 'https://a.example/v?***', 'n': 2}"),
        ('{"url":"https://a.example/v?x=1","n":2}', '{"url":"https://a.example/v?***","n":2}'),
        (r'{"url":"https:\/\/a.example\/v?x=1","n":2}', r'{"url":"https:\/\/a.example\/v?***","n":2}'),
        ("<https://a.example/v?x=1>", "<https://a.example/v?***>"),
        ("https://a.example/it's.mp4?x=1", "https://a.example/it's.mp4?***"),
        ("https://a.example/v?name='x'&Signature=y", "https://a.example/v?***"),
    ],
)
def test_a_query_is_masked(text: str, shown: str) -> None:
    """What follows the path of a URL is masked, and the text around the URL stays."""

    assert shown == redact_text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pass@proxy.example:8080", "http://***@proxy.example:8080"),
        ("http://user@proxy.example/", "http://***@proxy.example/"),
        ("http://user:p@ss@proxy.example/", "http://***@proxy.example/"),
        ("http://us'er:pass@proxy.example/", "http://***@proxy.example/"),
        ("write to someone@mail.example", "write to someone@mail.example"),
        ("https://a.example/@someone", "https://a.example/@someone"),
    ],
)
def test_a_user_is_masked(text: str, shown: str) -> None:
    """The user and the password in a URL are masked, and nothing else with an at sign."""

    assert shown == redact_text(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "data:image/png;base64,***"),
        ("data:image/png;base64,iVBO%2BRw0KGgo%3D", "data:image/png;base64,***"),
        ("data:image/png;charset=utf-8;base64,iVBORw0KGgo=", "data:image/png;charset=utf-8;base64,***"),
        ("data:;base64,iVBORw0KGgo=", "data:;base64,***"),
        (r"'data:image\/png;base64,iVBORw0KGgo='", r"'data:image\/png;base64,***'"),
        ("DATA:image/png;base64,iVBORw0KGgo=, and more", "DATA:image/png;base64,*** and more"),
        ("no data: none, really", "no data: none, really"),
        ('{"data":{"x":1,"y":2}}', '{"data":{"x":1,"y":2}}'),
    ],
)
def test_inline_data_is_masked(text: str, shown: str) -> None:
    """The payload of a data: URI is masked however it is written, and its type stays."""

    assert shown == redact_text(text)


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("the key sk-1 is wrong", ("sk-1",), "the key *** is wrong"),
        ("sk-1 'sk-1'", ("sk-1",), "*** '***'"),
        ("DataInspectionFailed", ("a",), "DataInspectionFailed"),
        ("task tk-17, many anyhow", ("any",), "task tk-17, many anyhow"),
        ("sk-12345sk-12345", ("sk-12345",), "******"),
        ("abcdef", ("abc", "abcdef"), "***"),
        ("abc", ("",), "abc"),
        ("abc", (), "abc"),
    ],
)
def test_secrets_are_masked(text: str, secrets: tuple[str, ...], shown: str) -> None:
    """Every secret is masked wherever it stands, the longer one first; an empty one masks nothing."""

    assert shown == redact_text(text, *secrets)


@pytest.mark.fault(86)
@given(before=_ANY_TEXT, after=_ANY_TEXT, secret=st.from_regex(r"sk-[a-z0-9]{16}", fullmatch=True))
def test_no_secret_gets_through(before: str, after: str, secret: str) -> None:
    """Whatever stands around a secret, it is gone."""

    assert secret not in redact_text(f"{before}{secret}{after}", secret)


@pytest.mark.fault(86)
@pytest.mark.parametrize(
    "frame",
    ["{}", "'{}'", '"{}"', "<{}>", "({})", "see {} for more", "['{}', 2]", "u='{}')", "{{'u': '{}'}}", "a{}"],
)
@given(before=_QUERY, after=_QUERY, mark=st.sampled_from("?#"), escaped=st.booleans())
def test_no_query_gets_through(frame: str, before: str, after: str, mark: str, escaped: bool) -> None:
    """A signature is gone from a URL in any surrounding, while host and path stay."""
    url = f"https://a.example/it's/v.mp4{mark}{before}{SECRET}{after}"
    shown = redact_text(frame.format(url.replace("/", r"\/") if escaped else url))

    assert SECRET not in shown
    assert "v.mp4?***" in shown


@given(before=st.text(), after=st.text())
def test_no_query_of_a_bare_url_gets_through(before: str, after: str) -> None:
    """Of what is known to be a URL, all that follows the path goes, blanks and quotes included."""

    assert "https://a.example/v.mp4?***" == redact_url(f"https://a.example/v.mp4?{before}{SECRET}{after}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/v.mp4", "https://a.example/v.mp4"),
        ("https://user:pass@a.example/v.mp4?x=1", "https://***@a.example/v.mp4?***"),
        ("/login?next=/&token=x", "/login?***"),
        ("data:image/png;base64,iVBO", "data:image/png;base64,***"),
        ("", ""),
    ],
)
def test_redact_url(url: str, shown: str) -> None:
    """A URL without a secret stays as it is; a relative one is treated like any other."""

    assert shown == redact_url(url)


@pytest.mark.fault(85)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("a\x00b\x7fc\x9bd", r"a\x00b\x7fc\x9bd"),
        ("a\u202eb\u2066c\u200fd", r"a\u202eb\u2066c\u200fd"),
        ("a\u2028b", r"a\u2028b"),
        ("half \ud83d of a pair", r"half \ud83d of a pair"),
        ("东方 é 😀", "东方 é 😀"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    """What moves a cursor, ends a line, turns the writing round or cannot be printed is shown by its code."""

    assert shown == redact_text(text)


@pytest.mark.fault(85)
@given(_ANY_TEXT)
def test_what_is_shown_can_be_printed(text: str) -> None:
    """Any text at all comes out as one line without control characters that any UTF-8 terminal takes."""
    shown = redact_text(text)

    assert not [character for character in shown if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")]
    assert shown == shown.encode().decode()


@pytest.mark.parametrize(
    "text",
    [
        "a.b-" * 50_000,
        "://" * 70_000,
        "//a?" * 50_000,
        "//a?" + "'," * 100_000,
        "//" + "a@" * 100_000 + "/",
        "data:" * 40_000,
        "data:a/" * 30_000,
        "data:" + "a;" * 100_000,
        "\\/" * 100_000,
    ],
)
def test_hostile_text_takes_no_time(text: str) -> None:
    """No text makes the search for URLs slow; a search that backs up would run into the time limit of the test."""

    assert len(redact_text(text)) <= len(text)


def test_redact_headers() -> None:
    """Only what is known to be harmless is shown, and even that without a URL's secrets."""
    shown = redact_headers(
        {
            "Authorization": f"Bearer {SECRET}",
            "X-Api-Key": SECRET,
            "Set-Cookie": SECRET,
            "X-Unheard-Of": SECRET,
            "Content-Type": "application/json",
            "X-Request-Id": "1-2\x1b",
            "Location": f"/login?token={SECRET}",
        }
    )

    assert {
        "Authorization": MASK,
        "X-Api-Key": MASK,
        "Set-Cookie": MASK,
        "X-Unheard-Of": MASK,
        "Content-Type": "application/json",
        "X-Request-Id": r"1-2\x1b",
        "Location": "/login?***",
    } == shown
    assert SECRET not in json.dumps(shown)


KEY = "sk-Abc123Def456Ghi789"


@pytest.mark.fault(86)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"your key {KEY} is bad", "your key *** is bad"),
        (f"your key {KEY[:-4]} is bad", "your key *** is bad"),
        (f"your key ...{KEY[6:]}.", "your key ...***."),
        (f"https://{KEY.lower()}.example/a", "https://***.example/a"),
        (f"{KEY.upper()}{KEY}", "******"),
        (f"{KEY[:8]} and {KEY[-8:]}", "*** and ***"),
        (f"{KEY[:7]} is too short a piece", f"{KEY[:7]} is too short a piece"),
        ("Abc, 123 and Def", "Abc, 123 and Def"),
    ],
)
def test_long_pieces_of_a_secret_are_masked(text: str, shown: str) -> None:
    """A message that leaves out a part of a key, or its capitals, still gives it away."""
    assert shown == redact_text(text, KEY)


def test_a_secret_url_shows_no_signature() -> None:
    """Neither the text nor the repr of a URL that is a credential shows its query."""
    url = SecretUrl("https://user:pw@files.example/v.mp4?Signature=s3cr3t")

    assert "https://***@files.example/v.mp4?***" == str(url)
    assert "s3cr3t" not in repr(url)
    assert "Signature=s3cr3t" in url.value


@pytest.mark.parametrize(
    ("text", "secret", "found"),
    [("tk-1", "k", False), ("tk-any", "any", False), ("t-sk-12345", "sk-12345", True), ("t", "", False)],
)
def test_a_secret_of_a_few_characters_is_in_no_text(text: str, secret: str, found: bool) -> None:
    """The key of an emulator may be one letter, which is in many ids by chance."""
    assert found is contains_secret(text, secret)
