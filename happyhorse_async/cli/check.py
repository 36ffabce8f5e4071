"""`providers --check`: sends a free request to each account, and reports whether key, region and address are valid."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum

from attrs import evolve, frozen

from ..adapter import Account, Adapter
from ..config import ProviderSettings, Settings
from ..errors import (
    AuthenticationError,
    ConfigurationError,
    HappyHorseError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    ProviderError,
    QuotaExceededError,
    RateLimitError,
    TaskNotFoundError,
    TransportError,
)
from ..exchange import Exchange
from ..ratelimit import AccountLimits
from ..registry import find_adapter
from ..timeouts import Timeouts
from ..transports.aiohttp import AiohttpTransport
from .exit_codes import ExitCode, worst
from .output import Output
from .render import error_message
from .table import Column

_TIMEOUTS = Timeouts(connect=10.0, query=20.0)
_NO_SUCH_PATH = (404, 405)


class CheckResult(StrEnum):
    """The result of the check of an account."""

    OK = "ok"
    """Address, region and key are valid."""
    NO_KEY = "no key"
    """The key is missing, or something else in the configuration is wrong. Nothing was sent."""
    UNREACHABLE = "unreachable"
    """No connection, or no answer in time."""
    WRONG_ADDRESS = "wrong address"
    """The response is not the provider's: a page, a redirect, an unknown path."""
    KEY_REFUSED = "key refused"
    """The provider does not know the key."""
    WRONG_REGION = "wrong region"
    """The key belongs to another region."""
    NOT_PERMITTED = "not permitted"
    """The provider knows the key, but it may not do this."""
    NO_CREDIT = "no credit"
    """The provider knows the key, but the account cannot pay."""
    RATE_LIMITED = "rate limited"
    """Too many requests at the moment, so the key could not be checked."""
    REFUSED = "refused"
    """The provider refuses the request for another reason."""
    PROVIDER_FAULT = "provider fault"
    """The provider has an internal error, so the key could not be checked."""


_BY_ERROR: dict[type[HappyHorseError], CheckResult] = {
    ConfigurationError: CheckResult.NO_KEY,
    AuthenticationError: CheckResult.KEY_REFUSED,
    PermissionDeniedError: CheckResult.NOT_PERMITTED,
    QuotaExceededError: CheckResult.NO_CREDIT,
    RateLimitError: CheckResult.RATE_LIMITED,
    TaskNotFoundError: CheckResult.WRONG_ADDRESS,
    InvalidResponseError: CheckResult.WRONG_ADDRESS,
    InvalidRequestError: CheckResult.REFUSED,
    ProviderError: CheckResult.PROVIDER_FAULT,
    TransportError: CheckResult.UNREACHABLE,
}
_KEY_IS_KNOWN = (CheckResult.OK, CheckResult.NOT_PERMITTED, CheckResult.NO_CREDIT)
_EXIT_CODES = {
    CheckResult.OK: ExitCode.OK,
    CheckResult.NO_KEY: ExitCode.BAD_INPUT,
    CheckResult.UNREACHABLE: ExitCode.FAULT,
    CheckResult.WRONG_ADDRESS: ExitCode.FAULT,
    CheckResult.PROVIDER_FAULT: ExitCode.FAULT,
}
"""Every other error is a refusal."""

_COLUMNS = (
    Column("provider"),
    Column("adapter", required=False),
    Column("address", required=False),
    Column("result"),
    Column("says"),
)


@frozen(kw_only=True)
class AccountCheck:
    """The result of a check of one account."""

    result: CheckResult
    message: str
    """The balance of the account, or the problem and its solution."""
    seconds: float = 0.0
    """The response time."""


async def check_providers(output: Output, settings: Settings, provider: str | None) -> ExitCode:
    """Check every configured account, or only *provider*, and print the results."""
    accounts = settings.accounts(provider)
    checks = await asyncio.gather(*map(_check, accounts))
    rows: list[tuple[object, ...]] = []
    for account, check in zip(accounts, checks, strict=True):
        address = _address(account)
        output.object(
            {
                "provider": account.name,
                "adapter": account.adapter,
                "region": account.region,
                "base_url": address,
                "ok": check.result is CheckResult.OK,
                "result": check.result.replace(" ", "_"),
                "message": check.message,
                "seconds": round(check.seconds, 3),
            }
        )
        rows.append((account.name, account.adapter, address, check.result, check.message))
    output.table(_COLUMNS, rows)
    return worst(_EXIT_CODES.get(check.result, ExitCode.REFUSED) for check in checks)


def _address(settings: ProviderSettings) -> str | None:
    address: str | None = settings.resolved()["base_url"]
    return address


async def _check(settings: ProviderSettings) -> AccountCheck:
    adapter = find_adapter(settings.adapter)
    try:
        account = _account(settings, adapter, settings.api_key, settings.region)
    except ConfigurationError as error:
        return AccountCheck(result=CheckResult.NO_KEY, message=error_message(error))
    transport = AiohttpTransport(proxy=settings.proxy, timeouts=_TIMEOUTS)
    try:
        found = await _ask(adapter, account, transport)
        if found.result is CheckResult.KEY_REFUSED and adapter.regions:
            return await _about_regions(settings, adapter, account, transport, found)
        return found
    finally:
        await transport.aclose()


def _account(settings: ProviderSettings, adapter: Adapter, api_key: str, region: str | None) -> Account:
    return adapter.account(
        provider=settings.name, api_key=api_key, base_url=settings.base_url, region=region, options=settings.options
    )


async def _ask(adapter: Adapter, account: Account, transport: AiohttpTransport) -> AccountCheck:
    limits = AccountLimits.of(None, adapter.limits, adapter.name)
    exchange = Exchange(adapter, account, transport, limits, _TIMEOUTS)
    started = time.monotonic()
    try:
        said = await exchange.check()
    except HappyHorseError as error:
        return AccountCheck(result=_result(error), message=error_message(error), seconds=time.monotonic() - started)
    return AccountCheck(
        result=CheckResult.OK, message=said or "key and address are right", seconds=time.monotonic() - started
    )


def _result(error: HappyHorseError) -> CheckResult:
    # A status means that there was a response: from a CDN, a proxy, another service.
    answered = isinstance(error, TransportError) and error.status_code is not None
    unknown_path = isinstance(error, InvalidRequestError) and error.status_code in _NO_SUCH_PATH
    if answered or unknown_path:
        return CheckResult.WRONG_ADDRESS
    return next((_BY_ERROR[cls] for cls in type(error).__mro__ if cls in _BY_ERROR), CheckResult.REFUSED)


async def _about_regions(
    settings: ProviderSettings, adapter: Adapter, account: Account, transport: AiohttpTransport, found: AccountCheck
) -> AccountCheck:
    """Find out whether a refused key belongs to another region: a provider refuses it with the same message."""
    known = ", ".join(adapter.regions)
    if settings.base_url is not None:
        # The owner has set an address, so the key goes nowhere else.
        hint = f"if the key is right, it may be one of another region (known: {known})"
        return evolve(found, message=f"{found.message}; {hint}")
    for region in adapter.regions:
        try:
            other = _account(settings, adapter, account.api_key, region)
        except ConfigurationError:
            continue
        if other.base_url != account.base_url and (await _ask(adapter, other, transport)).result in _KEY_IS_KNOWN:
            message = f"the key belongs to another region: set region = {region!r} for {settings.name}"
            return evolve(found, result=CheckResult.WRONG_REGION, message=message)
    return evolve(found, message=f"{found.message}; no other region takes the key either")
