"""
The temporary storage of an emulated provider: a policy, then a form with the file, then a name for the file. Pure.

Like Alibaba Cloud OSS with a policy of Model Studio: an upload is bound to its account and model.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from attrs import field, frozen

from ..emulation import StorageGrant, StoragePolicy

FOLDER = "emulated-uploads"
"""The prefix of file names."""
_POLICY_SECONDS = 300.0
_FILE_SECONDS = 48 * 3600.0
_LARGEST = 200 * 2**20
_PUBLIC_SECONDS = 7 * 24 * 3600.0


class StorageRefusalError(Exception):
    """
    The upload is refused.

    :param status: the HTTP status.
    :param code: the storage's error code.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@frozen
class _File:
    content: bytes = field(repr=False)
    owner: str
    model: str
    expires: float


class ObjectStore:
    """
    Files of the clients of one provider. All times are Unix seconds.

    :param speed: every duration is divided by it.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._secret = secrets.token_bytes(16)
        self._files: dict[str, _File] = {}
        self._public: dict[str, _File] = {}

    def policy(self, api_key: str, model: str, *, url: str, now: float) -> StoragePolicy:
        """Permit uploads to *url* for a few minutes."""
        folder = f"{FOLDER}/{secrets.token_hex(8)}"
        facts = [_account(api_key), model, folder, now + _POLICY_SECONDS / self._speed]
        policy = base64.b64encode(json.dumps(facts).encode()).decode()
        return StoragePolicy(
            url=url,
            folder=folder,
            policy=policy,
            signature=self._sign(policy),
            seconds=_POLICY_SECONDS,
            expires=datetime.fromtimestamp(now + _POLICY_SECONDS / self._speed, UTC),
            largest=_LARGEST,
        )

    def put(self, fields: Mapping[str, str], content: bytes, *, now: float) -> None:
        """
        Keep a file.

        :raises StorageRefusalError: the policy is wrong or has expired, or does not allow this name or size.
        """
        policy, name = fields.get("policy", ""), fields.get("key", "")
        owner, model, folder = self.check(policy, fields.get("Signature", ""), now=now)
        if not name.startswith(f"{folder}/"):
            raise StorageRefusalError(403, "AccessDenied", "Invalid according to Policy: Policy Condition failed.")
        if name in self._files:
            raise StorageRefusalError(409, "FileAlreadyExists", "The object you specified already exists.")
        if len(content) > _LARGEST:
            raise StorageRefusalError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
        self._files = {key: file for key, file in self._files.items() if now < file.expires}
        self._files[name] = _File(content, owner, model, now + _FILE_SECONDS / self._speed)

    def check(self, policy: str, signature: str, *, now: float) -> tuple[str, str, str]:
        """
        Return the account, the model and the folder that a policy is for.

        :raises StorageRefusalError: it is wrong or has expired.
        """
        if not hmac.compare_digest(signature.encode(), self._sign(policy).encode()):
            raise StorageRefusalError(403, "SignatureDoesNotMatch", "The signature does not match the policy.")
        owner, model, folder, expires = json.loads(base64.b64decode(policy))
        if now >= expires:
            raise StorageRefusalError(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
        return owner, model, folder

    def grant(self, name: str, *, url: str, now: float) -> StorageGrant:
        """Permit one file to be sent to a URL below *url* for a few minutes."""
        place, expires = _public_place(name), str(int(now + max(1.0, _POLICY_SECONDS / self._speed)))
        signature = quote(self._sign(f"{place} {expires}"), safe="")
        file_url = f"{url}/{quote(place)}"
        return StorageGrant(upload_url=f"{file_url}?Expires={expires}&Signature={signature}", file_url=file_url)

    def put_granted(self, place: str, query: Mapping[str, str], content: bytes, *, now: float) -> None:
        """
        Keep a file that has a grant.

        :raises StorageRefusalError: there is none, or it has expired.
        """
        expires, signature = query.get("Expires", ""), query.get("Signature", "")
        if not hmac.compare_digest(signature.encode(), self._sign(f"{place} {expires}").encode()):
            raise StorageRefusalError(403, "SignatureDoesNotMatch", "The signature does not match.")
        if now >= int(expires):
            raise StorageRefusalError(403, "AccessDenied", "Request has expired.")
        self._keep(place, content, now)

    def put_public(self, name: str, content: bytes, *, now: float) -> str:
        """Keep a public file, and return its path."""
        place = _public_place(name)
        self._keep(place, content, now)
        return place

    def _keep(self, place: str, content: bytes, now: float) -> None:
        self._public = {key: file for key, file in self._public.items() if now < file.expires}
        self._public[place] = _File(content, "", "", now + _PUBLIC_SECONDS / self._speed)

    def public(self, place: str, *, now: float) -> bytes | None:
        """Return a public file."""
        file = self._public.get(place)
        return None if file is None or now >= file.expires else file.content

    def find(self, name: str, api_key: str, model: str | None, *, now: float) -> bytes | None:
        """Return the content of a file, for the account and the model that it was uploaded for."""
        file = self._files.get(name)
        if file is None or now >= file.expires or (file.owner, file.model) != (_account(api_key), model):
            return None
        return file.content

    def clear(self) -> None:
        """Forget every file."""
        self._files = {}
        self._public = {}

    def _sign(self, policy: str) -> str:
        return base64.b64encode(hmac.new(self._secret, policy.encode(), hashlib.sha1).digest()).decode()


def _public_place(name: str) -> str:
    return f"{secrets.token_hex(8)}/{name.rpartition('/')[2] or 'file'}"


def _account(api_key: str) -> str:
    return hashlib.sha256(api_key.encode()).hexdigest()
