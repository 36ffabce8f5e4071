"""`plan`: what would be sent, to whom and for how much. Nothing is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ..client import MediaPlan, Plan
from ..local_media import TOKEN
from ..messages import HttpRequest
from ..price import PriceEstimate
from ..redaction import redact_text
from ..request import VideoRequest
from .output import Output
from .render import error_message, plain
from .session import Session

_TOKEN = re.compile(TOKEN.pattern.decode())


def show_plan(output: Output, session: Session, request: VideoRequest, provider: str | None) -> None:
    """Print what a submit of *request* would send."""
    plan = session.planner(provider).plan(request)
    secret = session.settings.choose(plan.provider).api_key
    output.object(_to_object(plan, secret))
    for line in _lines(plan, secret):
        output.line(line)
    for warning in plan.warnings:
        output.warn(warning)


def warnings_of(plan: Plan) -> list[str]:
    """Return the warnings of *plan*, but for what refuses it: the submit says that, unless its job exists already."""
    refusals = {rejection.error.message for rejection in plan.rejected}
    return [warning for warning in plan.warnings if warning not in refusals]


def price_line(price: PriceEstimate | None) -> str:
    """Return the price of a request in one line."""
    return "price: not known" if price is None else f"price: {price.describe()}"


def _lines(plan: Plan, secret: str) -> Iterator[str]:
    yield f"provider: {plan.provider}"
    yield f"model: {plan.model}"
    yield price_line(plan.price)
    for medium in plan.media:
        yield f"{medium.name}: {_delivery(medium)}"
    for rejection in plan.rejected:
        yield plain(f"not {rejection.provider}: {error_message(rejection.error)}")
    for message in plan.messages:
        yield f"{message.method} {message.url}"
        yield from (f"  {name}: {redact_text(value, secret)}" for name, value in message.headers.items())
        body = _body(message, secret)
        if body is not None:
            text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
            yield from (f"  {line}" for line in text.splitlines())


def _delivery(medium: MediaPlan) -> str:
    if medium.delivery == "url":
        return "fetched by the provider"
    how = "uploaded first" if medium.delivery == "upload" else "inside the request"
    return f"{how}, {medium.mime}, {medium.sent} bytes are sent"


def _body(message: HttpRequest, secret: str) -> Any:
    """Return the body, decoded if it is JSON, without secrets and without the content of local media."""
    if message.body is None:
        return None
    text = redact_text(_TOKEN.sub("…", message.body.decode(errors="replace")), secret)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _to_object(plan: Plan, secret: str) -> dict[str, Any]:
    return {
        "provider": plan.provider,
        "model": plan.model,
        "price": None if plan.price is None else plan.price.to_dict(),
        "warnings": [plain(warning) for warning in plan.warnings],
        "media": [
            {"name": medium.name, "delivery": medium.delivery, "mime": medium.mime, "size": medium.size}
            for medium in plan.media
        ],
        "rejected": [
            {
                "provider": rejection.provider,
                "error": {"class": type(rejection.error).__name__, "message": plain(error_message(rejection.error))},
            }
            for rejection in plan.rejected
        ],
        "messages": [
            {
                "method": message.method,
                "url": redact_text(message.url, secret),
                "headers": {name: redact_text(value, secret) for name, value in message.headers.items()},
                "body": _body(message, secret),
            }
            for message in plan.messages
        ],
    }
