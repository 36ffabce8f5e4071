"""
The addresses of DashScope: the shared hosts, and the hosts of single workspaces.

https://help.aliyun.com/zh/model-studio/regions/ and the HappyHorse pages, mid 2026. The sources disagree on Virginia:
some give it the shared host, others hosts of workspaces. Both can be selected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from happyhorse_async.adapter import Account
from happyhorse_async.errors import ConfigurationError

_IDS = {
    "singapore": "ap-southeast-1",
    "beijing": "cn-beijing",
    "virginia": "us-east-1",
    "frankfurt": "eu-central-1",
    "tokyo": "ap-northeast-1",
}
_NAMES = {region_id: name for name, region_id in _IDS.items()}

# Frankfurt and Tokyo have none.
_SHARED = {
    "singapore": "https://dashscope-intl.aliyuncs.com/api/v1",
    "beijing": "https://dashscope.aliyuncs.com/api/v1",
    "virginia": "https://dashscope-us.aliyuncs.com/api/v1",
}

REGIONS: Mapping[str, str] = {
    name: _SHARED.get(name, f"https://{{workspace}}.{region_id}.maas.aliyuncs.com/api/v1")
    for name, region_id in _IDS.items()
}
# https://help.aliyun.com/zh/model-studio/get-temporary-file-url, October 2026. Older editions name Beijing alone.
_WITH_STORAGE = ("singapore", "beijing")
DEFAULT_REGION = "singapore"

# The official SDK 2.0.2 accepts underscores, too. It becomes a label of a host name: at most 63 characters, and no
# hyphen at the end.
_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?<!-)")
# `trial` and `token-plan` look like workspaces but serve all of them.
_DEDICATED_HOST = re.compile(
    r"https?://(?!trial\.|token-plan\.)[a-z0-9_-]+\.[a-z0-9-]+\.maas\.aliyuncs\.com(?=[:/]|$)", re.IGNORECASE
)


def check_workspace(options: Mapping[str, Any], *, provider: str) -> None:
    """
    Check the workspace id, which becomes a part of a host name or a header.

    :raises ConfigurationError: it is not valid.
    """
    workspace = options.get("workspace")
    if workspace is not None and not (isinstance(workspace, str) and _WORKSPACE.fullmatch(workspace)):
        raise ConfigurationError(
            f"the option workspace is an id such as llm-abc123 or ws-abc123, not {workspace!r}", provider=provider
        )


def find_base_url(region: str | None, options: Mapping[str, Any], *, provider: str) -> str:
    """
    Return the root of the API in *region*, a name or an id, for the workspace in *options* if there is one.

    :raises ConfigurationError: no such region, or one that has hosts of workspaces only and no workspace is given.
    """
    name = DEFAULT_REGION if region is None else _NAMES.get(region, region)
    if name not in _IDS:
        known = ", ".join(f"{name} ({region_id})" for name, region_id in _IDS.items())
        raise ConfigurationError(f"dashscope has no region {region!r}; known: {known}", provider=provider)
    workspace = options.get("workspace")
    if workspace is not None:
        return f"https://{workspace}.{_IDS[name]}.maas.aliyuncs.com/api/v1"
    if name not in _SHARED:
        raise ConfigurationError(
            f"the region {region} has hosts of workspaces only: set the option workspace, "
            "or the base URL that the console shows as API Host",
            provider=provider,
        )
    return _SHARED[name]


def workspace_headers(account: Account) -> dict[str, str]:
    """
    Return the header that names the workspace, if the host does not name it.

    Documented for shared hosts, on pages older than HappyHorse; the key of a sub-account needs it:
    https://help.aliyun.com/zh/model-studio/text-to-image-api-reference
    """
    workspace = account.options.get("workspace")
    if workspace is None or _DEDICATED_HOST.match(account.base_url):
        return {}
    return {"X-DashScope-WorkSpace": workspace}


def region_of(account: Account) -> str | None:
    """
    Return the region of an account by its name, from its host, or else as it was asked for; `None` if it is not known.

    The hosts of a token plan are none of these: what they cost a second is not published.
    """
    host = urlsplit(account.base_url).hostname or ""
    for name, url in _SHARED.items():
        if host == urlsplit(url).hostname:
            return name
    if _DEDICATED_HOST.match(account.base_url):
        return next((name for name, region_id in _IDS.items() if f".{region_id}." in host), None)
    if host.endswith(".aliyuncs.com"):
        return None
    return None if account.region is None else _NAMES.get(account.region, account.region)


def is_tokyo(account: Account) -> bool:
    """Return whether the account's region is Tokyo, where not every model is sold."""
    return _IDS["tokyo"] in account.base_url


def has_storage(account: Account) -> bool:
    """
    Return whether the account's region has the documented temporary storage.

    An address that is none of the provider's own, such as a gateway's or an emulator's, is taken to have it.
    """
    host = urlsplit(account.base_url).hostname or ""
    if not host.endswith(".aliyuncs.com"):
        return True
    shared = {urlsplit(_SHARED[name]).hostname for name in _WITH_STORAGE}
    # A page names the two regions; that it holds for their workspaces, too, only the SDK shows.
    dedicated = _DEDICATED_HOST.match(account.base_url) is not None
    return host in shared or (dedicated and any(f".{_IDS[name]}." in host for name in _WITH_STORAGE))
