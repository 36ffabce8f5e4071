"""How local media may reach one model of one account: inside the request, by an upload, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

from ..adapter import Account, Adapter
from ..capabilities import MediaForm, ModelSpec
from ..errors import InvalidRequestError, UnsupportedFeatureError
from ..media.facts import Facts, PictureFacts, VideoFacts
from ..media.inspect import missing_extra
from ..media.limits import check_picture, check_video
from ..registry import find_adapter, providers_that_can
from ..request import ImageToVideo, Mode, ReferenceToVideo, VideoEdit, VideoRequest


@frozen
class MediaWays:
    """The delivery of local media for one model of one account."""

    adapter: Adapter
    account: Account
    spec: ModelSpec

    def check(self, facts: Facts, *, name: str, is_video: bool) -> tuple[str, ...]:
        """
        Check a medium against the provider's limits, and return warnings, a sentence each.

        :param name: the field of the request.
        :raises InvalidRequestError: it is not a picture or video of the required kind, or outside the limits.
        """
        provider, limits = self.account.provider, self.spec.picture_limits
        if isinstance(facts, VideoFacts) is not is_video:
            wanted = "a video" if is_video else "a picture"
            raise InvalidRequestError(f"{name} is a {facts.format} file by its content, and {wanted} is wanted")
        warnings = [f"{name}: {hint}"] if (hint := missing_extra()) else []
        if self._is_undocumented(facts):
            warnings.append(
                f"{name}: an option of the account allows a way that {self.adapter.title} does not document"
            )
        if isinstance(facts, PictureFacts) and limits is not None:
            warnings += check_picture(facts, limits, name=name, provider=provider)
        if isinstance(facts, VideoFacts) and self.spec.video_limits is not None:
            warnings += check_video(facts, self.spec.video_limits, name=name, provider=provider)
        return tuple(warnings)

    @property
    def inline_limit(self) -> int | None:
        """The largest picture in bytes that this account sends inside a request."""
        optional = self.spec.optional_inline_limit
        return optional if optional and self.account.options.get("inline_media") is True else self.spec.inline_limit

    @property
    def body_limit(self) -> int:
        """The limit in base64 bytes for all pictures inside one request: at least one of the largest size fits."""
        return max(self.spec.inline_body_limit, encoded_size(self.inline_limit or 0))

    @property
    def upload_form(self) -> MediaForm | None:
        """How a request of this account names an uploaded file; `None` if files cannot be uploaded."""
        optional = self.spec.optional_upload_form
        return optional if optional and self.account.options.get("upload") is True else self.spec.upload_form

    def fits_inline(self, facts: Facts) -> bool:
        """Return whether a medium can be sent inside the request."""
        if isinstance(facts, VideoFacts) or self.inline_limit is None:
            return False
        return facts.size <= self.inline_limit and facts.format in self.spec.inline_formats

    def _is_undocumented(self, facts: Facts) -> bool:
        if self.fits_inline(facts):
            return facts.size > (self.spec.inline_limit or 0)
        return self.spec.upload_form is None and self.upload_form is not None

    def is_uploaded(self, facts: Facts, *, name: str) -> bool:
        """
        Return whether a medium is uploaded; otherwise it is sent inside the request.

        :raises UnsupportedFeatureError: neither is possible. The error names the providers that accept it.
        """
        if self.fits_inline(facts):
            return False
        what = f"{name} is a {facts.format} file of {facts.size / 1e6:.1f} MB"
        is_video = isinstance(facts, VideoFacts)
        self._require_uploads(what, lambda other: other._takes(facts), is_video=is_video)  # noqa: SLF001 - same class
        return True

    def require_uploads(self, what: str) -> None:
        """
        Check that files can be uploaded.

        :param what: the medium to upload, for the error.
        :raises UnsupportedFeatureError: they cannot.
        """
        self._require_uploads(what, lambda other: other.upload_problem() is None)

    def upload_problem(self) -> str | None:
        """Return why files cannot be uploaded; `None` if they can be."""
        if self.upload_form is None:
            return f"{self.adapter.title} documents no storage for uploads"
        return self.adapter.upload_problem(self.account)

    def _require_uploads(self, what: str, is_able: Callable[[MediaWays], bool], *, is_video: bool = False) -> None:
        problem, limit = self.upload_problem(), self.inline_limit
        if problem is None:
            return
        provider = self.account.provider
        if limit:
            formats = ", ".join(sorted(self.spec.inline_formats))
            problem = f"{provider} takes {formats} up to {limit / 2**20:g} MiB inside a request, and {problem}"
        for option in self.spec.media_options(is_video=is_video):
            problem += f"; the option {option} = true may help" if not self.account.options.get(option) else ""
        able = tuple(other.adapter.name for other in self._others() if is_able(other))
        raise UnsupportedFeatureError(
            f"{what}: {problem}", feature="local media of this kind", provider=provider, alternatives=able
        )

    def _others(self) -> Iterator[MediaWays]:
        """Yield the other installed providers, each without options."""
        for name in providers_that_can(_probe(self.spec.mode)):
            if name != self.adapter.name:
                adapter = find_adapter(name)
                spec = adapter.check(_probe(self.spec.mode), provider=name)
                yield MediaWays(adapter, adapter.account(provider=name, api_key="none"), spec)

    def _takes(self, facts: Facts) -> bool:
        try:
            self.check(facts, name="medium", is_video=isinstance(facts, VideoFacts))
        except InvalidRequestError:
            return False
        return self.fits_inline(facts) or self.upload_problem() is None


def encoded_size(size: int) -> int:
    """Return the base64 size of *size* bytes."""
    return 4 * ((size + 2) // 3)


def _probe(mode: Mode) -> VideoRequest:
    """Return a request of *mode* with local media, to find providers that accept them."""
    match mode:
        case Mode.EDIT:
            return VideoEdit("a", Path("a"))
        case Mode.R2V:
            return ReferenceToVideo("a", Path("a"))
        case _:
            return ImageToVideo(Path("a"))
