"""
All providers on one machine: a real HTTP server on loopback that answers like them and delivers real videos.

    HttpRequest ─dialect.read→ VideoRequest ─scenario→ Task ─dialect.answer→ HttpResponse

Nothing is generated: a video is a test picture that shows what was asked for.
"""

from __future__ import annotations

from .callbacks import CallbackScenario as CallbackScenario
from .deliveries import Delivery as Delivery
from .deliveries import DeliveryLog as DeliveryLog
from .emulator import Emulator as Emulator
from .faults import Injection as Injection
from .scenario import Course as Course
from .scenario import Scenario as Scenario

__all__ = ["CallbackScenario", "Course", "Delivery", "DeliveryLog", "Emulator", "Injection", "Scenario"]
