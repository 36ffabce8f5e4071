"""
Faults that the emulator can play: everything that a server can do wrong.

```python
emulator.inject("reset-before-answer", on="submit")
emulator.inject(faults.Refused(problem=Problem.TOO_FAST, retry_after="7"), on="query", times=3)
```
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...emulation import ApiFault as ApiFault
from ...errors import ConfigurationError
from .bodies import BODIES, Bomb, Empty, HalfJSON, Inserted, Page, Recoded
from .downloads import DOWNLOADED, ChangedObject, DeadURL, Endless, IgnoredRange, NoLength, OtherContent, WrongLength
from .fault import Answer, CallContext, Fault, FaultPreset, Operation, RawResponse
from .injection import Faults, Injection
from .refusals import REFUSALS, ErrorIn200, Redirected, Refused, RefusedUntil
from .tasks import (
    TASKS,
    Bare,
    EmptyURL,
    LooseNumbers,
    MoreFields,
    OtherBill,
    OtherTask,
    Status,
    TextNumbers,
    Vanished,
)
from .wire import WIRE, Cut, CutChunk, Hang, LongHeader, NotHTTP, Part, Trickle, TwoLengths, WrongClock

__all__ = [
    "PRESETS",
    "Answer",
    "ApiFault",
    "Bare",
    "Bomb",
    "CallContext",
    "ChangedObject",
    "Cut",
    "CutChunk",
    "DeadURL",
    "Empty",
    "EmptyURL",
    "Endless",
    "ErrorIn200",
    "Fault",
    "FaultPreset",
    "Faults",
    "HalfJSON",
    "Hang",
    "IgnoredRange",
    "Injection",
    "Inserted",
    "LongHeader",
    "LooseNumbers",
    "MoreFields",
    "NoLength",
    "NotHTTP",
    "Operation",
    "OtherBill",
    "OtherContent",
    "OtherTask",
    "Page",
    "Part",
    "RawResponse",
    "Recoded",
    "Redirected",
    "Refused",
    "RefusedUntil",
    "Status",
    "TextNumbers",
    "Trickle",
    "TwoLengths",
    "Vanished",
    "WrongClock",
    "WrongLength",
    "find_fault",
]

PRESETS: Mapping[str, FaultPreset] = MappingProxyType({**WIRE, **BODIES, **REFUSALS, **TASKS, **DOWNLOADED})
"""Every fault that has a name."""


def find_fault(name: str) -> Fault:
    """
    Return the fault of that name.

    :raises ConfigurationError: there is none.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"there is no fault {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name].fault
