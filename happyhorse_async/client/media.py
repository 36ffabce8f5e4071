"""Local media of a request: read, checked against what the provider documents, and replaced by what is encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import anyio
import anyio.to_thread
from attrs import evolve, field, frozen

from ..adapter import Account, Adapter
from ..capabilities import MediaForm, ModelSpec
from ..errors import InvalidRequestError
from ..local_media import LocalMedium, digest_of
from ..media import data_uri
from ..media.facts import Facts, PictureFacts, VideoFacts
from ..media.fit import fitted
from ..media.inspect import UnreadableFileError, inspect, inspect_briefly, inspect_header
from ..request import ImageToVideo, Media, Picture, ReferenceToVideo, TextToVideo, VideoEdit, VideoRequest
from ..stores import TaskStore
from ..stores.retention import KEEP_MEDIA
from .media_ways import MediaWays, encoded_size


@frozen(kw_only=True)
class Keeping:
    """What a store keeps of the media of an enqueued job."""

    largest: int = KEEP_MEDIA
    """Bytes of the largest medium whose content it keeps."""
    by_path: bool = True
    """Whether a larger file is found by its path when the job is sent."""

    @classmethod
    def by(cls, store: TaskStore) -> Keeping:
        """Return what *store* keeps. One of others may not say so."""
        return cls(largest=getattr(store, "keep_media", KEEP_MEDIA), by_path=getattr(store, "keeps_paths", True))


Delivery: TypeAlias = Literal["url", "inline", "upload"]


@frozen(kw_only=True)
class MediaPlan:
    """How one image or video of a request would reach the provider."""

    name: str
    """The field of the request, such as `image` or `images[2]`."""
    delivery: Delivery
    """`"url"`: the provider fetches it; `"inline"`: inside the request; `"upload"`: to the provider's storage first."""
    mime: str | None = None
    """The type of a local one, by its content."""
    size: int | None = None
    """Its size in bytes."""
    sent: int = 0
    """Bytes that are sent for it."""


@frozen(kw_only=True)
class PreparedRequest:
    """A request without bytes and paths, and the media that belong into it."""

    request: VideoRequest
    media: tuple[LocalMedium, ...] = ()
    plans: tuple[MediaPlan, ...] = ()
    warnings: tuple[str, ...] = ()
    source_duration: float | None = None
    """Seconds of the video to edit, where it was measured."""


@frozen
class _Given:
    """A local image or video of a request."""

    name: str
    is_video: bool
    medium: Path | bytes | Picture | str = field(repr=False)


@frozen
class MediaPreparation:
    """Prepares the local media of requests for one model of one account."""

    adapter: Adapter
    account: Account
    spec: ModelSpec
    limiter: anyio.CapacityLimiter | None = field(default=None, eq=False, repr=False)
    """So many pictures are examined at once: each is decoded in memory."""

    @property
    def _ways(self) -> MediaWays:
        return MediaWays(self.adapter, self.account, self.spec)

    async def prepare(self, request: VideoRequest, *, keeping: Keeping | None = None) -> PreparedRequest:
        """
        Read, measure and check the local media of *request*, off the event loop.

        :param keeping: how they are kept until the job is sent, maybe by another process; `None`: they need not be.
        :raises InvalidRequestError: a file is missing, damaged, or outside the provider's limits.
        :raises UnsupportedFeatureError: the provider takes no local file of this kind or size.
        """
        found: dict[str, tuple[LocalMedium, tuple[str, ...]]] = {}
        for given in _local_media(request):
            found[given.name] = await anyio.to_thread.run_sync(self._examined, given, keeping, limiter=self.limiter)
        return self._prepared(request, found)

    def plan(self, request: VideoRequest) -> PreparedRequest:
        """Do as `prepare`, with no more than the sizes and the headers of files."""
        local = list(_local_media(request))
        found = {given.name: self._glanced_at(given, number) for number, given in enumerate(local)}
        as_given = {given.name: given.medium for given in local if isinstance(given.medium, str)}
        return self._prepared(request, found, as_given)

    def _examined(self, given: _Given, keeping: Keeping | None) -> tuple[LocalMedium, tuple[str, ...]]:
        source, path = self._source(given)
        facts = inspect(source, name=given.name)
        warnings = self._ways.check(facts, name=given.name, is_video=given.is_video)
        is_kept = path is None or (keeping is not None and facts.size <= keeping.largest)
        try:
            content = source if isinstance(source, bytes) else source.read_bytes() if is_kept else None
            unread = LocalMedium(digest="", mime=facts.format.mime, size=facts.size, content=content, path=path)
            medium = evolve(unread, digest=digest_of(unread.pieces()))
        except OSError as error:
            raise UnreadableFileError(f"{given.name}: {path} cannot be read: {error.strerror}") from None
        if keeping is not None and facts.size > keeping.largest and (path is None or not keeping.by_path):
            instead = "give the path of a file, or use submit()" if keeping.by_path else "give a URL, or use submit()"
            raise InvalidRequestError(
                f"{given.name}: {facts.size / 1e6:.1f} MB cannot be kept until an enqueued job is sent, at most "
                f"{keeping.largest / 2**20:g} MiB (keep_media of the store); {instead}"
            )
        duration = facts.duration if isinstance(facts, VideoFacts) else None
        is_uploaded = self._ways.is_uploaded(facts, name=given.name)
        return evolve(medium, is_uploaded=is_uploaded, duration=duration), warnings

    def _source(self, given: _Given) -> tuple[Path | bytes, str | None]:
        """Return where the content is, and the path by which it can be found again."""
        medium = given.medium
        if isinstance(medium, str):
            return data_uri.decode(medium, name=given.name)[1], None
        if isinstance(medium, Picture):
            limits = self.spec.picture_limits
            changed = fitted(medium.source, limits, fit=medium.fit, name=given.name)
            if changed is not None:
                return changed, None
            medium = medium.source
        return medium, str(medium.absolute()) if isinstance(medium, Path) else None

    def _glanced_at(self, given: _Given, number: int) -> tuple[LocalMedium, tuple[str, ...]]:
        medium = given.medium
        if isinstance(medium, str):
            found, size = data_uri.peek(medium, name=given.name)
            facts: Facts = PictureFacts(format=found, size=size)
        else:
            if isinstance(medium, Picture):
                # Its sides and its ratio are made to fit.
                facts = inspect_briefly(medium.source, name=given.name)
            else:
                facts = inspect_header(medium, name=given.name)
        warnings = self._ways.check(facts, name=given.name, is_video=given.is_video)
        planned = LocalMedium(digest=f"{number:064x}", mime=facts.format.mime, size=facts.size)
        duration = facts.duration if isinstance(facts, VideoFacts) else None
        is_uploaded = self._ways.is_uploaded(facts, name=given.name)
        return evolve(planned, is_uploaded=is_uploaded, duration=duration), warnings

    def _prepared(
        self,
        request: VideoRequest,
        found: dict[str, tuple[LocalMedium, tuple[str, ...]]],
        as_given: Mapping[str, str] = MappingProxyType({}),
    ) -> PreparedRequest:
        if not found:
            return PreparedRequest(request=request, plans=tuple(_plans(request, {})))
        media = self._within_body({name: medium for name, (medium, _) in found.items()})
        texts = {
            name: as_given[name] if name in as_given and not medium.is_uploaded else self._text(medium)
            for name, medium in media.items()
        }
        unique = {medium.digest: medium for medium in media.values()}
        return PreparedRequest(
            request=_replaced(request, texts),
            media=tuple(unique.values()),
            plans=tuple(_plans(request, media)),
            warnings=(
                *(warning for _, warnings in found.values() for warning in warnings),
                *self._upload_warnings(media),
            ),
            source_duration=media["video"].duration if "video" in media else None,
        )

    def _upload_warnings(self, media: Mapping[str, LocalMedium]) -> tuple[str, ...]:
        uploaded = [name for name, medium in media.items() if medium.is_uploaded]
        if not uploaded or not self.adapter.public_uploads:
            return ()
        where = f"uploaded to {self.adapter.title}, where everyone who has the URL can read it"
        return (f"{', '.join(uploaded)}: {where}; the option upload = false switches uploads off",)

    def _text(self, medium: LocalMedium) -> str:
        if not medium.is_uploaded:
            return medium.data_uri
        scheme = "oss" if self._ways.upload_form is MediaForm.OSS else "https"
        return f"{scheme}://{medium.url_token}"

    def _within_body(self, media: dict[str, LocalMedium]) -> dict[str, LocalMedium]:
        """Upload the largest pictures of a request that would be too large with all of them inside."""
        limit = self._ways.body_limit
        while (total := sum(_encoded(medium) for medium in media.values() if not medium.is_uploaded)) > limit:
            self._ways.require_uploads(f"the pictures of the request have {total / 1e6:.1f} MB together")
            largest = max(
                (medium for medium in media.values() if not medium.is_uploaded), key=lambda medium: medium.size
            )
            media = {
                name: evolve(medium, is_uploaded=True) if medium.digest == largest.digest else medium
                for name, medium in media.items()
            }
        return media


def with_urls(request: VideoRequest) -> VideoRequest:
    """Return *request* with URLs in the place of its local media, to check the rest of it."""
    if isinstance(request, TextToVideo):
        return request
    return _replaced(request, {given.name: "https://media.invalid/" for given in _local_media(request)})


def has_local_media(request: VideoRequest) -> bool:
    """Return whether *request* has files, bytes or `data:` URIs in it."""
    return not isinstance(request, TextToVideo) and next(_local_media(request), None) is not None


def _encoded(medium: LocalMedium) -> int:
    return encoded_size(medium.size)


def _fields(request: VideoRequest) -> Iterator[tuple[str, Media]]:
    if isinstance(request, ImageToVideo):
        yield "image", request.image
    if isinstance(request, VideoEdit):
        yield "video", request.video
    if isinstance(request, ReferenceToVideo | VideoEdit):
        for number, image in enumerate(request.images):
            yield f"images[{number}]", image


def _local_media(request: VideoRequest) -> Iterator[_Given]:
    for name, medium in _fields(request):
        if not isinstance(medium, str) or medium[:5].lower() == "data:":
            yield _Given(name, name == "video", medium)


def _replaced(request: VideoRequest, texts: dict[str, str]) -> VideoRequest:
    changes: dict[str, Any] = {name: text for name, text in texts.items() if name in ("image", "video")}
    if isinstance(request, ReferenceToVideo | VideoEdit):
        changes["images"] = tuple(texts.get(f"images[{number}]", image) for number, image in enumerate(request.images))
    return evolve(request, **changes)


def _plans(request: VideoRequest, media: dict[str, LocalMedium]) -> Iterator[MediaPlan]:
    for name, _ in _fields(request):
        medium = media.get(name)
        if medium is None:
            yield MediaPlan(name=name, delivery="url")
        elif medium.is_uploaded:
            yield MediaPlan(name=name, delivery="upload", mime=medium.mime, size=medium.size, sent=medium.size)
        else:
            sent = _encoded(medium)
            yield MediaPlan(name=name, delivery="inline", mime=medium.mime, size=medium.size, sent=sent)
