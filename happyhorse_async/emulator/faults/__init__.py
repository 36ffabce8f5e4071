"""
The faults that the emulator can apply.

```python
emulator.inject("reset-before-answer", on="submit")
emulator.inject("late-404", seconds=2)
emulator.inject(faults.refused(faults.ApiFault.TOO_FAST, retry_after="7"), on="query", times=3)
```
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...emulation import ApiFault as ApiFault
from ...emulation import ErrorReply as ErrorReply
from ...errors import ConfigurationError
from .bodies import BODIES, page
from .connection import CONNECTION, Part, cut, trickle
from .downloads import DOWNLOADED, content, not_stored
from .fault import CallContext, Fault, Operation, RawResponse, ResponseChange, TaskChange
from .injection import Faults, Injection
from .refusals import REFUSALS, redirected, refused, refused_until
from .tasks import TASKS, task_status
from .uploads import UPLOADED, refused_upload

__all__ = [
    "PRESETS",
    "ApiFault",
    "CallContext",
    "ErrorReply",
    "Fault",
    "Faults",
    "Injection",
    "Operation",
    "Part",
    "RawResponse",
    "ResponseChange",
    "TaskChange",
    "content",
    "cut",
    "find_fault",
    "not_stored",
    "page",
    "redirected",
    "refused",
    "refused_until",
    "refused_upload",
    "task_status",
    "trickle",
]

PRESETS: Mapping[str, Fault] = MappingProxyType({**CONNECTION, **BODIES, **REFUSALS, **TASKS, **DOWNLOADED, **UPLOADED})
"""Every fault with a name."""


def find_fault(name: str) -> Fault:
    """
    Return the fault of that name.

    :raises ConfigurationError: there is none.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"there is no fault {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
