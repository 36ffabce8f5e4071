"""The options of the emulator's webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from attrs import frozen
from cyclopts import Group, Parameter
from cyclopts.validators import Number

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..emulator import WebhookDelivery

SECRET_VARIABLE = "HAPPYHORSE_EMULATOR_CALLBACK_SECRET"  # noqa: S105 - the name of a variable

Share = Annotated[float, Parameter(validator=Number(gte=0, lte=1))]


@Parameter(name="*", group=Group("Webhooks (callbacks)", sort_key=2), show_default=True)
@frozen(kw_only=True)
class CallbackOptions:
    """How the emulator sends webhooks."""

    events_url: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    """PROVIDER=URL: the destination of events that are configured outside a provider's API. Repeat it for several."""
    callback_secret: Annotated[str | None, Parameter(env_var=SECRET_VARIABLE, show_default=False)] = None
    """Sign webhooks with this secret. The process list shows arguments: prefer the environment variable."""
    callback_loss: Share = 0.0
    """Fraction that is never delivered, from 0 to 1."""
    callback_duplicates: Share = 0.0
    """Fraction delivered twice."""
    callback_delay: tuple[float, float] = (0.0, 0.0)
    """Shortest and longest time from the end of a task to its webhook, in emulated seconds."""
    callback_reorder: Share = 0.0
    """Fraction overtaken by the next one."""
    callback_early: Share = 0.0
    """Fraction delivered before the response to the submit."""
    callback_forge: Share = 0.0
    """Fraction preceded by a forged webhook."""

    def settings(self) -> dict[str, Any]:
        """
        Return the arguments for the emulator.

        :raises ConfigurationError: an option is wrong.
        """
        from ..emulator import CallbackScenario  # noqa: PLC0415 - `--help` does not need it

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
    """Return the result of a delivery as one line."""
    kind = "forged webhook" if delivery.forged else "webhook"
    if delivery.lost:
        return f"{kind} of {delivery.provider}:{delivery.task_id} lost"
    answer = delivery.problem if delivery.status is None else delivery.status
    return f"{kind} of {delivery.provider}:{delivery.task_id} to {delivery.url}, attempt {delivery.attempt}: {answer}"
