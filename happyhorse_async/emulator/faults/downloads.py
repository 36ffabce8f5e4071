"""Faults of the place where the videos are."""

from __future__ import annotations

from attrs import evolve, frozen

from ...emulation import ApiFault
from ...messages import HttpResponse
from .fault import DOWNLOADS, Answer, CallContext, Fault, FaultPreset, RawResponse, head, written


@frozen(kw_only=True)
class DeadURL(Fault):
    """The URL is refused, as if its time were over."""

    operations = DOWNLOADS
    problem: ApiFault = ApiFault.FORBIDDEN

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return context.refuse(self.problem)


@frozen(kw_only=True)
class WrongLength(Fault):
    """The announced length is not the one of the body."""

    operations = DOWNLOADS
    by: int
    """Bytes that are announced too many; negative: too few."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return RawResponse(data=written(answer, length=max(0, len(answer.body) + self.by)))


@frozen(kw_only=True)
class NoLength(Fault):
    """No length is announced: the end of the connection is the end of the body."""

    operations = DOWNLOADS
    share: float = 1.0
    """How much of the body comes."""

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return RawResponse(data=head(answer) + answer.body[: int(len(answer.body) * self.share)])


@frozen(kw_only=True)
class OtherContent(Fault):
    """Something comes with a 200 that is no video."""

    operations = DOWNLOADS
    kind: str = "application/json"
    body: bytes = b'{"error": {"code": "InternalError", "message": "try again later"}}'

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return HttpResponse(status=200, headers={"content-type": self.kind}, body=self.body)


@frozen(kw_only=True)
class IgnoredRange(Fault):
    """The whole video comes where a part of it was asked for."""

    operations = DOWNLOADS

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return context.whole or answer


@frozen(kw_only=True)
class ChangedObject(Fault):
    """The video is said to be another one than before, by its tag and its date."""

    operations = DOWNLOADS

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        marks = {"etag": '"changed"', "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return evolve(answer, headers={**answer.headers, **marks})


@frozen(kw_only=True)
class Endless(Fault):
    """The body never ends."""

    operations = DOWNLOADS

    def answer(self, answer: HttpResponse, context: CallContext) -> Answer:
        return RawResponse(data=head(answer) + answer.body, repeated=b"\0" * 65536)


DOWNLOADED: dict[str, FaultPreset] = {
    "dead-url": FaultPreset(DeadURL(), "the URL is refused with a 403, as one whose time is over"),
    "gone-url": FaultPreset(DeadURL(problem=ApiFault.UNKNOWN_TASK), "the URL leads to a 404"),
    "length-too-long": FaultPreset(WrongLength(by=1000), "a length is announced that never comes"),
    "length-too-short": FaultPreset(WrongLength(by=-1000), "more comes than the length says"),
    "no-length": FaultPreset(NoLength(), "no length is announced"),
    "no-length-cut": FaultPreset(NoLength(share=0.5), "no length is announced, and half of the video comes"),
    "json-download": FaultPreset(OtherContent(), "an error in JSON comes with a 200 instead of the video"),
    "range-ignored": FaultPreset(IgnoredRange(), "the whole video comes where a part of it was asked for"),
    "changed-object": FaultPreset(ChangedObject(), "the video has another tag and another date than before"),
    "endless-download": FaultPreset(Endless(), "the video never ends"),
}
"""By name."""
