"""Checks of URLs in a configuration, and of the addresses that an API key may be sent to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..adapter import Adapter
from ..errors import ConfigurationError

FROM_ENVIRONMENT = "env"
"""The proxies are those of the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`."""

# https://www.iana.org/assignments/special-use-domain-names and the names of container and cluster networks
_PRIVATE_SUFFIXES = (
    "localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "home.arpa", "private", "corp", "svc",
)  # fmt: skip
_NUMERIC = re.compile(r"[0-9a-fx.]*[0-9][0-9a-fx.]*", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\\\{\w+\\\}")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_url(url: object, *, where: str, user: bool = False) -> str:
    """
    Return *url*, if requests can be sent to it.

    :param where: its setting, for the error, which does not show the URL.
    :param user: whether it may hold a user and a password.
    :raises ConfigurationError: it is not an http(s) URL, or holds a user or password.
    """
    if not isinstance(url, str) or not _is_url(url):
        raise ConfigurationError(f"{where}: expected an http:// or https:// URL")
    if not user and "@" in urlsplit(url).netloc:
        raise ConfigurationError(f"{where}: a URL with a user or a password in it is not accepted")
    return url


def check_base_url(url: object, *, where: str) -> str:
    """
    Return *url*, if it can be the root of an API and may get the key.

    :raises ConfigurationError: it is not an http(s) URL, has a query or a fragment, or would send the key unencrypted
        over the internet.
    """
    text = check_url(url, where=where)
    if {"?", "#"} & set(text):
        raise ConfigurationError(f"{where}: the root of an API has no query and no fragment")
    parts = urlsplit(text)
    if parts.scheme == "http" and not _is_private(parts.hostname or ""):
        raise ConfigurationError(
            f"{where}: plain http:// would send the API key unencrypted over the internet; use https://. "
            "http:// works for this machine, for private addresses such as 10.0.0.5, for names without a dot, and for "
            "names in .local, .internal and the like"
        )
    return text


def check_further_urls(adapter: Adapter, options: Mapping[str, Any], *, where: str) -> None:
    """
    Check the options that name further hosts of the provider like a base URL: they get the key, too.

    :raises ConfigurationError: one of them is not an http(s) URL, or would send the key unencrypted over the internet.
    """
    for option in adapter.further_urls:
        if options.get(option) is not None:
            check_base_url(options[option], where=f"{where}.{option}")


def check_proxy(proxy: object, *, where: str) -> str:
    """
    Return *proxy*, if it is the URL of an HTTP proxy, or `env` for the proxies of the environment.

    :raises ConfigurationError: it is something else.
    """
    if proxy == FROM_ENVIRONMENT:
        return FROM_ENVIRONMENT
    if isinstance(proxy, str) and proxy.lower().startswith("socks"):
        raise ConfigurationError(f"{where}: SOCKS proxies need a connector: Client(connector=…) with aiohttp-socks")
    try:
        return check_url(proxy, where=where, user=True)
    except ConfigurationError:
        raise ConfigurationError(
            f'{where}: expected the http:// or https:// URL of a proxy, or "env" for the proxies of the environment'
        ) from None


def is_loopback(url: str) -> bool:
    """Return whether *url* leads to this machine. No name is resolved."""
    try:
        host = _host(urlsplit(url))
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_documented(url: str, adapter: Adapter) -> bool:
    """Return whether *url* is at one of the adapter's own, documented addresses."""
    try:
        origin = _origin(url)
    except ValueError:
        return False
    roots = (adapter.default_base_url, *adapter.regions.values(), *adapter.further_urls.values())
    return any(_template(root).fullmatch(origin) for root in roots)


def _template(root: str) -> re.Pattern[str]:
    # A region may have a host for each workspace: https://{workspace}.eu-central-1.example/api
    return re.compile(_PLACEHOLDER.sub(r"[a-z0-9-]+", re.escape(_origin(root))))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{_host(parts)}:{parts.port or _DEFAULT_PORTS.get(parts.scheme)}"


def _host(parts: SplitResult) -> str:
    return (parts.hostname or "").removesuffix(".")


def _is_private(host: str) -> bool:
    host = host.removesuffix(".")
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        # Resolvers read `134744072` and `0x8.8.8.8` as addresses too.
        if _NUMERIC.fullmatch(host):
            return False
        return "." not in host or any(host.endswith(f".{suffix}") for suffix in _PRIVATE_SUFFIXES)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    return not address.is_global


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    # A backslash is a slash to some parsers and a part of the host to others, as are some letters beyond ASCII.
    plain = parts.netloc.isascii() and text.isprintable() and not {" ", "\\"} & set(text)
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)
