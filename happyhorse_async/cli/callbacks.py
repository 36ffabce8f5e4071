"""The options of the emulator's callbacks."""

from __future__ import annotations

from typing import Annotated, Any

from attrs import frozen
from cyclopts import Parameter
from cyclopts.validators import Number

from ..emulator import CallbackScenario, WebhookDelivery
from ..errors import ConfigurationError

Share = Annotated[float, Parameter(validator=Number(gte=0, lte=1))]


@Parameter(name="*")
@frozen(kw_only=True)
class CallbackOptions:
    """How the emulator sends callbacks."""

    events_url: tuple[str, ...] = ()
    """PROVIDER=URL: where a provider sends the events that are set up outside its API. Repeat it for several."""
    callback_secret: str | None = None
    """What callbacks are signed with. By default they are not."""
    callback_loss: Share = 0.0
    """The share of callbacks that are never sent, from 0 to 1."""
    callback_duplicates: Share = 0.0
    """The share that are sent twice."""
    callback_delay: tuple[float, float] = (0.0, 0.0)
    """The shortest and the longest time from the end of a task to its callback, in emulated seconds."""
    callback_reorder: Share = 0.0
    """The share that change places with the next one."""
    callback_early: Share = 0.0
    """The share that overtake the answer to their own submit."""
    callback_forge: Share = 0.0
    """The share that a forgery goes before."""

    def settings(self) -> dict[str, Any]:
        """
        Return what the emulator is to be made with.

        :raises ConfigurationError: something cannot be.
        """
        return {
            "events_urls": dict(map(_pair, self.events_url)),
            "callback_secret": self.callback_secret,
            "callbacks": CallbackScenario(
                loss=self.callback_loss,
                duplicates=self.callback_duplicates,
                delay=self.callback_delay,
                reorder=self.callback_reorder,
                early=self.callback_early,
                forge=self.callback_forge,
            ),
        }


def _pair(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not (equals and url.startswith(("http://", "https://"))):
        raise ConfigurationError("--events-url takes PROVIDER=URL, where the URL begins with http:// or https://")
    return name, url


def delivery_line(delivery: WebhookDelivery) -> str:
    """Say in a line what came of a delivery."""
    kind = "forged callback" if delivery.forged else "callback"
    if delivery.lost:
        return f"{kind} of {delivery.provider}:{delivery.task_id} lost"
    answer = delivery.problem if delivery.status is None else delivery.status
    return f"{kind} of {delivery.provider}:{delivery.task_id} to {delivery.url}, try {delivery.attempt}: {answer}"
