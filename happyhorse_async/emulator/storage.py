"""The storage of an emulated provider: its videos, and uploaded files. Pure."""

from __future__ import annotations

from urllib.parse import quote, unquote

from attrs import frozen

from ..emulation import (
    ApiError,
    ApiFault,
    EmulatedAPI,
    ErrorReply,
    GrantCall,
    PolicyCall,
    SubmitCall,
    UploadCall,
)
from ..messages import HttpResponse
from .object_store import FOLDER, ObjectStore, StorageRefusalError
from .signed_urls import SignedUrls

STORAGE_PATH = "/_storage/"
"""The path for uploads, followed by the name of the provider."""


@frozen
class Storage:
    """The storage of a provider: its videos, and uploaded files."""

    links: SignedUrls
    objects: ObjectStore


@frozen(kw_only=True)
class Visit:
    """The context of a call to the storage."""

    storage: Storage
    emulated_api: EmulatedAPI
    api_key: str
    now: float
    origin: str
    request_id: str

    @property
    def url(self) -> str:
        """The URL of the provider's files."""
        return f"{self.origin}{STORAGE_PATH}{self.emulated_api.name}"

    def answer(self, call: PolicyCall | GrantCall | UploadCall) -> HttpResponse:
        """
        Permit an upload, or keep a file.

        :raises ApiError: its permission is wrong.
        """
        objects, emulated_api = self.storage.objects, self.emulated_api
        match call:
            case PolicyCall(model):
                policy = objects.policy(self.api_key, model, url=self.url, now=self.now)
                return emulated_api.answer_policy(policy, request_id=self.request_id)
            case GrantCall(name):
                grant = objects.grant(name, url=self.url, now=self.now)
                return emulated_api.answer_grant(grant, request_id=self.request_id)
            case UploadCall():
                return emulated_api.answer_upload(self._keep(call), request_id=self.request_id)

    def _keep(self, call: UploadCall) -> str:
        objects = self.storage.objects
        if call.permit is not None:
            try:
                objects.check(*call.permit, now=self.now)
            except StorageRefusalError as error:
                raise ApiError(ErrorReply(status=error.status, message=str(error))) from None
        return f"{self.url}/{quote(objects.put_public(call.name, call.content, now=self.now))}"

    def find(self, url: str, call: SubmitCall) -> bytes | None:
        """
        Return the file with the URL in *call*; `None` if the URL is elsewhere.

        :raises ApiError: the file should be in the provider's storage, but is not.
        """
        objects = self.storage.objects
        if url.startswith(f"oss://{FOLDER}/"):
            found = objects.find(url.removeprefix("oss://"), self.api_key, call.request.model, now=self.now)
            if found is None:
                raise self.emulated_api.refuse(ApiFault.NO_SUCH_MEDIA)
            return found
        if url.startswith(f"{self.url}/"):
            return objects.public(unquote(url.removeprefix(f"{self.url}/")), now=self.now)
        return None
