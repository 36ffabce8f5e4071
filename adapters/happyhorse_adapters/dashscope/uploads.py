"""
DashScope's temporary storage: a policy is asked for, a form is sent to object storage, `oss://` names the file.

https://help.aliyun.com/zh/model-studio/get-temporary-file-url (October 2026): Singapore and Beijing, 48 hours, readable
by the provider alone, bound to the account and to the model; "for development and testing".
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from attrs import frozen

from happyhorse_async.adapter import Account, UploadFile, UploadPolicy
from happyhorse_async.adapter_kit import Lax, form_request, json_request, plain_text, structure
from happyhorse_async.errors import (
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
)
from happyhorse_async.messages import HttpRequest, HttpResponse

from .regions import has_storage, workspace_headers

# 48 hours, less a day that a task may wait in the queue.
LIFETIME = 24 * 3600.0

_MEGABYTE = 2**20
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,80})</Code>")


@frozen(kw_only=True)
class _Policy:
    upload_host: Lax[str] = None
    upload_dir: Lax[str] = None
    policy: Lax[str] = None
    signature: Lax[str] = None
    oss_access_key_id: Lax[str] = None
    x_oss_object_acl: Lax[str] = None
    x_oss_forbid_overwrite: Lax[str] = None
    max_file_size_mb: Lax[float] = None


def upload_problem(account: Account) -> str | None:
    """Return why this account has no storage; `None` if it has."""
    if has_storage(account):
        return None
    return "this region has no documented temporary storage: give a URL, or use Singapore or Beijing"


def policy_request(model: str, account: Account) -> HttpRequest:
    """Encode the request for a policy."""
    query = urlencode({"action": "getPolicy", "model": model})
    return json_request("GET", f"{account.base_url}/uploads?{query}", account, headers=workspace_headers(account))


def read_policy(data: object) -> UploadPolicy:
    """
    Read the `data` of a policy.

    :raises InvalidResponseError: it lacks something.
    """
    found = structure(data, _Policy, root="data")
    if not (found.upload_host and found.upload_dir and found.policy and found.signature and found.oss_access_key_id):
        raise InvalidResponseError("the policy of an upload is incomplete", path="data")
    fields = {
        "OSSAccessKeyId": found.oss_access_key_id,
        "Signature": found.signature,
        "policy": found.policy,
        "x-oss-object-acl": found.x_oss_object_acl or "private",
        "x-oss-forbid-overwrite": found.x_oss_forbid_overwrite or "true",
    }
    size = found.max_file_size_mb
    return UploadPolicy(
        url=found.upload_host,
        fields=fields,
        folder=found.upload_dir,
        max_size=None if size is None else int(size * _MEGABYTE),
    )


def upload_request(file: UploadFile, policy: UploadPolicy) -> HttpRequest:
    """Encode the form. It has no API key: the policy is the permission."""
    fields = {
        **policy.fields,
        "key": _key(file, policy),
        "success_action_status": "200",
        "x-oss-content-type": file.mime,
    }
    return form_request(policy.url, file, fields=fields)


def uploaded(response: HttpResponse, file: UploadFile, policy: UploadPolicy) -> str:
    """
    Return the URL of an upload.

    :raises PermissionDeniedError: the policy has expired.
    :raises HappyHorseError: it was refused.
    """
    if response.status == 200:
        return f"oss://{_key(file, policy)}"
    raise _refusal(response)


def _refusal(response: HttpResponse) -> HappyHorseError:
    # Object storage answers in XML: https://help.aliyun.com/zh/oss/support/http-status-code
    code = _CODE.search(response.body.decode(errors="replace"))
    sentence = f"the storage refused the file: {code[1] if code else plain_text(response) or response.status}"
    status, name = response.status, code[1] if code else None
    if status == 403:
        return PermissionDeniedError(sentence, status_code=status, code=name)
    if name == "EntityTooLarge" or status == 413:
        return InvalidRequestError(sentence, status_code=status, code=name)
    return ProviderError(sentence, not_accepted=True, status_code=status, code=name)


def _key(file: UploadFile, policy: UploadPolicy) -> str:
    return f"{policy.folder.rstrip('/')}/{file.name}"
