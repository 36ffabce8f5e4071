"""Selects the HTTP proxy of a request: a given one, those of the environment, or none."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import Factory, field, frozen

from ..errors import ConfigurationError
from ..redaction import redact_url

_ENVIRONMENT = "env"
_SCHEMES = ("http", "https")


@frozen
class Proxies:
    """The proxies of a client."""

    by_scheme: dict[str, str] = field(factory=dict[str, str], repr=lambda urls: repr(sorted(urls)))
    """The URL of a proxy by the scheme that it is for, which may hold a password."""
    obeys_no_proxy: bool = Factory(lambda: False)
    """Whether `NO_PROXY` of the environment is respected."""

    @classmethod
    def of(cls, proxy: str | None) -> Proxies:
        """
        Return the proxies for *proxy*.

        :param proxy: an http(s) URL; `"env"` for `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of the
            environment; `None` for no proxy.
        :raises ConfigurationError: anything else, in the environment too.
        """
        if proxy is None:
            return cls()
        if proxy != _ENVIRONMENT:
            url = _checked(proxy, where="proxy", hint='an http:// or https:// URL, or "env"')
            return cls(dict.fromkeys(_SCHEMES, url))
        found = getproxies()
        chosen = {scheme: found.get(scheme) or found.get("all") for scheme in _SCHEMES}
        return cls(
            {
                scheme: _checked(url if "://" in url else f"http://{url}", where=f"{scheme.upper()}_PROXY or ALL_PROXY")
                for scheme, url in chosen.items()
                if url
            },
            obeys_no_proxy=True,
        )

    def find(self, scheme: str, host: str) -> str | None:
        """Return the URL of the proxy for requests to *host*, which may have a port, or `None`."""
        proxy = self.by_scheme.get(scheme)
        return None if proxy is None or (self.obeys_no_proxy and proxy_bypass(host)) else proxy


def _checked(url: object, *, where: str, hint: str = "an http:// or https:// URL") -> str:
    if isinstance(url, str):
        try:
            parts = urlsplit(url)
            valid = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            valid = False
        if valid and url.isprintable() and " " not in url:
            return url
    shown = redact_url(url) if isinstance(url, str) else repr(url)
    raise ConfigurationError(f"{where} must be {hint}, not {shown!r}; for SOCKS pass a connector of its kind")
