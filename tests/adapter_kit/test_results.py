"""The videos in an answer, in whichever form they come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from happyhorse_async.adapter_kit import find_videos, require_video
from happyhorse_async.task import FailureReason, Task, TaskRef, TaskStatus, Video

V = "https://r.example/v.mp4?Signature=s"
W = "https://r.example/w?x=1"
COVER = "https://r.example/c.jpg?Signature=s"


def urls(*places: object) -> list[str]:
    return [video.url for video in find_videos(*places)]


@pytest.mark.parametrize(
    "answer",
    [
        V,
        f" {V}\n",
        [V],
        [None, V],
        [{"url": V}],
        [None, {"url": V}, 7],
        {"url": V},
        {"video_url": V},
        {"video_url": [V]},
        {"video_url": {"url": V}},
        {"videoUrl": V},
        {"video": V},
        {"video": {"url": V}},
        {"videos": V},
        {"videos": {"url": V}},
        {"videos": [{"video_url": V}]},
        {"videos": [{"video": {"url": V}}]},
        {"results": [V]},
        {"results": [{"url": V}]},
        {"result": {"video_url": V}},
        {"outputs": [V]},
        {"output": V},
        {"output": [V]},
        {"output": {"videos": [{"url": V}]}},
        {"output": {"data": {"video_url": V}}},
        {"data": {"output": {"results": [{"download_url": V}]}}},
        {"output": {"video_url": None, "results": [{"url": V}]}},
        {"output": {"video_url": "", "url": V}},
        {"output": [], "videos": None, "url": V},
        {"type": "image-to-video", "video_url": V},
        [{"type": "video", "url": V}],
        [{"type": "VIDEO", "url": V}],
        [{"mime_type": "video/mp4", "url": V}],
        [{"content_type": "video/mp4", "url": V, "kind": "final"}],
        [{"format": "mp4", "url": V}],
        [{"type": "audio", "url": W}, {"type": "video", "url": V}],
        [{"url": V}, {"url": V}],
        json.dumps([V]),
        {"video_url": json.dumps({"videos": [{"url": V}]})},
        {"content": {"video_url": V}},
        {"content": [{"type": "video_url", "video_url": {"url": V}}]},
        {"generated_videos": [{"video": {"uri": V}}]},
        {"response": {"video_list": [{"video_url": V}]}},
        {"VideoUrl": V},
        {"VIDEO_URL": V},
        {"video-url": V},
        {"URL": V},
        {"Output": {"Videos": [{"Type": "Video", "Url": V}]}},
        {"media": [{"url": V}]},
        {"presignedUrl": V},
        {"0": {"url": V}},
        {"videos": {"0": V}},
        f"{V}\n",
    ],
)
def test_a_video_is_found_in_any_form(answer: object) -> None:
    """A URL, an object with one, a list of either, or an object around them."""
    assert [V] == urls(answer)


@pytest.mark.parametrize(
    "answer",
    [
        [COVER, V],
        [{"url": COVER}, {"url": V}],
        [{"type": "first_frame", "url": W}, {"type": "video", "url": V}],
        [{"type": "cover", "url": W}, {"url": V}],
        [{"type": "image", "url": W}, V],
        [{"mime_type": "image/png", "url": W}, {"url": V}],
        [{"name": "cover.png", "url": W}, {"name": "v.mp4", "url": V}],
        [{"name": "thumbnail", "url": W}, {"url": V}],
        [{"Type": "Audio", "Url": W}, {"Url": V}],
        {"Cover-URL": COVER, "Video-URL": V},
        ["https://r.example/first_frame?x=1", V],
        {"cover_url": COVER, "video_url": V},
        {"thumbnail": COVER, "url": V},
        {"url": COVER, "video_url": V},
        {"output": {"results": [{"url": COVER}], "video_url": V}},
        {"results": [{"type": "audio", "url": "https://r.example/a.mp3"}, {"type": "video", "url": V}]},
    ],
)
def test_a_cover_is_never_taken_for_the_video(answer: object) -> None:
    """Type, name and the end of the URL tell a picture or a sound from a video, wherever it stands."""
    assert [V] == urls(answer)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        "",
        "soon",
        "[not JSON",
        "[" * 9000,
        [{"type": "text", "url": W}],
        [{"type": "mask", "url": W}, {"type": "storyboard", "url": W}, {"type": "waveform", "url": W}],
        "v.mp4",
        [],
        {},
        [None],
        [[[]]],
        {"url": 7},
        {"video_url": {}},
        COVER,
        [{"type": "audio", "url": "https://r.example/b"}],
        [{"type": "audio/mpeg", "url": V}],
        [{"type": "last_frame", "url": W}],
        {"input": {"video_url": V}},
        {"status_url": V, "callback_url": V, "cover_url": COVER},
    ],
)
def test_what_is_not_a_result_is_not_a_video(answer: object) -> None:
    """Junk, pictures, sounds, and URLs in fields that hold no result are not taken for a video."""
    assert [] == urls(answer)


def test_several_urls_in_one_text_are_all_read() -> None:
    """A blank within one URL does not part it."""
    assert [V, W] == urls(f"{V}, {W}")
    assert ["https://r.example/my video.mp4"] == urls("https://r.example/my video.mp4")


def test_the_documented_place_wins() -> None:
    """Places are tried in order, and the first with a video counts."""
    assert [V] == urls(V, {"results": [W]})
    assert [W] == urls(None, {"results": [W]})
    assert [W] == urls({"url": COVER}, {"results": [W]})


def test_all_videos_count() -> None:
    """A result of several videos has all of them, in the provider's order; one of an unknown type counts alone."""
    assert [V, W] == urls([{"type": "video", "url": V}, {"url": COVER}, {"type": "video", "url": W}])
    assert [W, V] == urls([W, V])
    assert [W] == urls([{"type": "reel", "url": W}, {"type": "show", "url": V}])


def test_what_stands_beside_the_url_is_read() -> None:
    """Size, length and cover stand beside the URL, as numbers or texts."""
    entry: dict[str, Any] = {"url": V, "width": "1280", "height": 720.0, "duration": "5.04", "cover_url": COVER}
    (found,) = find_videos([entry])

    assert Video(url=V, width=1280, height=720, duration=5.04, cover_url=COVER) == found.as_video(duration=7.0)
    assert entry == found.fields
    assert 7.0 == find_videos(V)[0].as_video(duration=7.0).duration


def test_another_entry_is_the_cover() -> None:
    """A picture among the results is the cover of a video that has none of its own."""
    entries = [{"type": "first_frame", "url": W}, {"type": "thumbnail", "url": COVER}, {"type": "video", "url": V}]

    assert [COVER] == [video.cover_url for video in find_videos(entries)]
    assert [COVER] == [video.cover_url for video in find_videos([{"url": V}, {"type": "cover", "url": COVER}])]
    assert [None] == [video.cover_url for video in find_videos([{"url": V}, {"type": "last_frame", "url": COVER}])]


def test_a_repr_shows_no_signature() -> None:
    """A result URL is a credential."""
    assert "Signature" not in repr(find_videos(V))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([V, W, COVER]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["url", "video_url", "output", "results", "type", "name", "cover_url"]), inner
        )
    ),
    max_leaves=30,
)


@given(_JSON)
def test_any_json_has_videos_or_none(answer: object) -> None:
    """No answer breaks the search, and nothing but URLs is found."""
    assert all("//" in url or url.startswith("/") for url in urls(answer))
    assert COVER not in urls(answer)


def test_a_deep_answer_is_harmless() -> None:
    """Levels of nesting beyond any provider's are not followed."""
    answer: object = V
    for _ in range(5000):
        answer = {"output": answer}

    assert [] == urls(answer)


def test_a_success_without_a_readable_video_names_the_field() -> None:
    """A success whose result cannot be read is NO_OUTPUT with the field's name; any other task stays as it is."""
    task = Task(ref=TaskRef("main", "t-1"), status=TaskStatus.SUCCEEDED)
    named = require_video(task, "output.video_url", 7)

    assert named.error is not None
    assert (TaskStatus.FAILED, FailureReason.NO_OUTPUT) == (named.status, named.error.reason)
    assert "output.video_url" in named.error.message
    assert task is require_video(task, "output.video_url", None)
