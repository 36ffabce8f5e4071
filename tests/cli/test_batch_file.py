"""What a line of a batch file may hold, and the name under which it is known again."""

from __future__ import annotations

from pathlib import Path

import pytest

from happyhorse_async.cli.batch_file import Batch
from happyhorse_async.errors import InvalidRequestError
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

IMAGE = "https://example.org/a.png"


def read(folder: Path, text: str, name: str = "shots.jsonl") -> Batch:
    """Read *text* as a batch file."""
    file = folder / name
    file.write_text(text, "utf-8")
    return Batch.read(file)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('{"prompt": "rain"}', TextToVideo("rain")),
        ('{"prompt": "r\u2028ain", "duration": 5, "seed": null}', TextToVideo("r\u2028ain", duration=5)),
        (f'{{"image": "{IMAGE}"}}', ImageToVideo(IMAGE)),
        (f'{{"prompt": "rain", "images": ["{IMAGE}"]}}', ReferenceToVideo("rain", (IMAGE,))),
        ('{"prompt": "rain", "video": "https://e.org/v.mp4"}', VideoEdit("rain", "https://e.org/v.mp4")),
        (
            f'{{"mode": "r2v", "prompt": "rain", "images": ["{IMAGE}"], "ratio": "1:1", "watermark": false}}',
            ReferenceToVideo("rain", (IMAGE,), ratio="1:1", watermark=False),
        ),
        ('{"prompt": "rain", "extra": {"a": 1}}', TextToVideo("rain", extra={"a": 1})),
    ],
)
def test_a_line_is_a_request(tmp_path: Path, text: str, request_: VideoRequest) -> None:
    """The fields are those of the request, null is not sent, and the mode follows from the media."""
    [line] = read(tmp_path, text).lines

    assert request_ == line.request


def test_where_a_line_goes(tmp_path: Path) -> None:
    """Provider, key and output are the line's own; empty lines count and are passed over."""
    [line] = read(
        tmp_path, '\ufeff\n\r\n{"prompt": "rain", "provider": "backup", "key": "k", "output": "a.mp4"}\r\n'
    ).lines

    assert (3, "backup", "k", "a.mp4") == (line.number, line.provider, line.key, line.output)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 1: it is no JSON: "),
        ("[]", "line 1: it is no JSON object"),
        ("[" * 100_000, "line 1: it is nested too deeply"),
        ('{"prompt": NaN}', "line 1: it is no JSON: NaN is no number"),
        ('{"prompt": "a", "prompt": "b"}', "line 1: prompt is given twice"),
        ('{"prompt": 5}', "line 1: prompt must be text"),
        ('{"prompt": "a", "duration": "5"}', "line 1: duration must be a whole number"),
        ('{"prompt": "a", "duration": 5.0}', "line 1: duration must be a whole number"),
        ('{"prompt": "a", "seed": true}', "line 1: seed must be a whole number"),
        ('{"prompt": "a", "watermark": 1}', "line 1: watermark must be true or false"),
        ('{"prompt": "a", "images": "b"}', "line 1: images must be a list of text"),
        ('{"prompt": "a", "images": [1]}', "line 1: images must be a list of text"),
        ('{"prompt": "a", "extra": []}', "line 1: extra must be an object"),
        ('{"prompt": "a", "promt": "b"}', "line 1: 'promt' does not go with t2v"),
        (f'{{"prompt": "a", "image": "{IMAGE}", "ratio": "1:1"}}', "line 1: 'ratio' does not go with i2v"),
        ('{"duration": 5}', "line 1: prompt is missing for t2v"),
        ('{"prompt": "a", "mode": "x2v"}', "line 1: mode must be one of t2v, i2v, r2v, edit"),
        ('{"prompt": "a", "output": " "}', "line 1: output is empty"),
        ('\n{"prompt": "a", "key": "k"}\n{"prompt": "a", "key": "k"}', "line 3: key: line 2 has the same"),
    ],
)
def test_a_bad_line(tmp_path: Path, text: str, reason: str) -> None:
    """What is wrong is named with the file, the number of the line and the field."""
    [error] = read(tmp_path, text).errors.values()

    assert str(error).startswith(f"{tmp_path / 'shots.jsonl'}, ")
    assert reason in str(error)


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"\xff", "is not text in UTF-8")])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A file that is not there, or no text, is named."""
    file = tmp_path / "shots.jsonl"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(InvalidRequestError, match=reason):
        Batch.read(file)


def test_a_line_is_known_again(tmp_path: Path) -> None:
    """The same line has the same key however it is written and wherever it stands; its twin has another."""
    first = read(tmp_path, '{"prompt": "a", "seed": 1}\n{"prompt": "b"}\n{"prompt": "a", "seed": 1}')
    again = read(tmp_path, '{"prompt": "b", "output": "b.mp4"}\n{"seed":1,"mode":"t2v","prompt":"a"}')
    keys = [line.key for line in first.lines]

    assert 3 == len(set(keys))
    assert [keys[1], keys[0]] == [line.key for line in again.lines]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"prompt": "b"}', "shots.jsonl"),
        ('{"prompt": "a", "provider": "backup"}', "shots.jsonl"),
        ('{"prompt": "a"}', "more.jsonl"),
    ],
)
def test_another_line(tmp_path: Path, text: str, name: str) -> None:
    """Another request, another provider or another file is another job."""
    [line] = read(tmp_path, '{"prompt": "a"}').lines
    [other] = read(tmp_path, text, name).lines

    assert line.key != other.key
