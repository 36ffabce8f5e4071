"""What a line of a batch file may hold, and the name under which it is known again."""

from __future__ import annotations

from pathlib import Path

import pytest

from happyhorse_async.cli.batch_file import BatchFile
from happyhorse_async.errors import InvalidRequestError
from happyhorse_async.request import ImageToVideo, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest

IMAGE = "https://example.org/a.png"


def read(folder: Path, text: str, name: str = "shots.jsonl", provider: str | None = None) -> BatchFile:
    """Read *text* as a batch file."""
    file = folder / name
    file.write_text(text, "utf-8")
    return BatchFile.read(file, provider=provider)


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


def test_options_of_a_line(tmp_path: Path) -> None:
    """Provider, key and output are the line's own; empty lines are counted and skipped."""
    [line] = read(
        tmp_path, '\ufeff\n\r\n{"prompt": "rain", "provider": "backup", "key": "k", "output": "a.mp4"}\r\n'
    ).lines

    assert (3, "backup", "k", "a.mp4") == (line.number, line.provider, line.key, line.output)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 1: it is not JSON: "),
        ("[]", "line 1: it is not a JSON object"),
        ("[" * 100_000, "line 1: it is nested too deeply"),
        ('{"prompt": NaN}', "line 1: it is not JSON: NaN is not a number"),
        ('{"prompt": "a", "prompt": "b"}', "line 1: prompt is given twice"),
        ('{"prompt": 5}', "line 1: prompt: expected text, not a whole number"),
        ('{"prompt": "a", "duration": "5"}', "line 1: duration: expected a whole number, not text"),
        ('{"prompt": "a", "duration": 5.0}', "line 1: duration: expected a whole number, not a number"),
        ('{"prompt": "a", "seed": true}', "line 1: seed: expected a whole number, not true or false"),
        ('{"prompt": "a", "watermark": 1}', "line 1: watermark: expected true or false, not a whole number"),
        ('{"prompt": "a", "images": "b"}', "line 1: images: expected a list, not text"),
        ('{"prompt": "a", "images": [1]}', "line 1: images[0]: expected text, not a whole number"),
        ('{"prompt": "a", "extra": []}', "line 1: extra: expected a table, not a list"),
        ('{"prompt": "a", "promt": "b"}', "line 1: unknown key promt; did you mean prompt?"),
        (f'{{"prompt": "a", "image": "{IMAGE}", "ratio": "1:1"}}', "line 1: 'ratio' is not a field of i2v"),
        ('{"duration": 5}', "line 1: prompt is missing for t2v"),
        ('{"prompt": "a", "mode": "x2v"}', "line 1: mode must be one of t2v, i2v, r2v, edit"),
        ('{"prompt": "a", "output": " "}', "line 1: output is empty"),
        ('{"prompt": "a", "output": "../a.mp4"}', "line 1: output: ../a.mp4 is outside the folder for the videos"),
        ('{"prompt": "a", "output": "b/../../a.mp4"}', "line 1: output: b/../../a.mp4 is outside the folder"),
        ('{"prompt": "a", "output": "/tmp/a.mp4"}', "line 1: output: /tmp/a.mp4 is outside the folder"),
        ('{"prompt": "a", "output": "clips/"}', "line 1: output: clips/ is a folder"),
        ('\n{"prompt": "a", "key": "k"}\n{"prompt": "a", "key": "k"}', "line 3: key: line 2 has the same"),
    ],
)
def test_a_bad_line(tmp_path: Path, text: str, reason: str) -> None:
    """The error names the file, the number of the line and the field."""
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
        BatchFile.read(file)


def test_a_line_has_the_same_key_wherever_it_stands(tmp_path: Path) -> None:
    """The key depends on the request alone and not on how the line is written; an equal line has another."""
    first = read(tmp_path, '{"prompt": "a", "seed": 1}\n{"prompt": "b"}\n{"prompt": "a", "seed": 1}')
    again = read(tmp_path, '{"prompt": "b", "output": "b.mp4"}\n{"seed":1,"mode":"t2v","prompt":"a"}')
    keys = [line.key for line in first.lines]

    assert 3 == len(set(keys))
    assert [keys[1], keys[0]] == [line.key for line in again.lines]


@pytest.mark.parametrize(
    ("text", "name", "provider"),
    [
        ('{"prompt": "b"}', "shots.jsonl", None),
        ('{"prompt": "a", "provider": "backup"}', "shots.jsonl", None),
        ('{"prompt": "a"}', "shots.jsonl", "backup"),
        ('{"prompt": "a"}', "more.jsonl", None),
        ('{"prompt": "a"}', "folder/shots.jsonl", None),
    ],
)
def test_another_line(tmp_path: Path, text: str, name: str, provider: str | None) -> None:
    """Another request, another provider that was named, or another file is another job."""
    (tmp_path / "folder").mkdir()
    [line] = read(tmp_path, '{"prompt": "a"}').lines
    [other] = read(tmp_path, text, name, provider).lines

    assert line.key != other.key


def test_a_file_is_known_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file has the same lines from whichever folder it is named, and through a link."""
    [line] = read(tmp_path, '{"prompt": "a"}').lines
    (tmp_path / "link.jsonl").symlink_to("shots.jsonl")
    monkeypatch.chdir(tmp_path)

    for name in ("shots.jsonl", "./shots.jsonl", "link.jsonl"):
        assert [line.key] == [each.key for each in BatchFile.read(Path(name)).lines]
