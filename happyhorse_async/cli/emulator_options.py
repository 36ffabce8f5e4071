"""The options of `happyhorse emulator`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from attrs import frozen
from cyclopts import Parameter
from cyclopts.validators import Number

from ..errors import ConfigurationError
from .callback_options import CallbackOptions

if TYPE_CHECKING:
    from ..emulator import Emulator

_ALWAYS = "always"


@Parameter(name="*", show_default=True)
@frozen(kw_only=True)
class ServeOptions:
    """Where and how the emulator runs, and its faults."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535))] = 8080
    """The port to listen on; 0 takes a free one."""
    speed: Annotated[float, Parameter(validator=Number(gt=0))] = 60.0
    """Every duration is divided by it."""
    seed: int = 0
    """The same seed gives the n-th task of a provider the same timeline."""
    fault: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    """NAME[:OPERATION[:TIMES]]: a fault to inject into submit, query, list, cancel, download, permit or upload, once or
    TIMES times (or always). Repeat it for several."""

    def emulator(self, callbacks: CallbackOptions) -> Emulator:
        """
        Make the emulator.

        :raises ConfigurationError: an option is wrong.
        """
        from ..emulator import Emulator  # noqa: PLC0415 - `--help` does not need it

        emulator = Emulator(host=self.host, port=self.port, speed=self.speed, seed=self.seed, **callbacks.settings())
        for text in self.fault:
            _inject(emulator, text)
        return emulator


def _inject(emulator: Emulator, text: str) -> None:
    name, operation, times = [*text.split(":"), "", ""][:3]
    if text.count(":") > 2 or not (times in ("", _ALWAYS) or (times.isascii() and times.isdigit())):
        raise ConfigurationError(f"a fault is written NAME[:OPERATION[:TIMES]], not {text!r}")
    emulator.inject(name, on=operation or None, times=None if times == _ALWAYS else int(times or 1))
