"""
All providers on one machine: a real HTTP server on loopback that answers like them and delivers real videos.

    HttpRequest ─dialect.read→ VideoRequest ─scenario→ Task ─dialect.answer→ HttpResponse

Nothing is generated: a video is a test picture that shows what was asked for.
"""

from __future__ import annotations

from .emulator import Emulator as Emulator
from .faults import Injection as Injection
from .scenario import Scenario as Scenario
from .scenario import SimulatedTask as SimulatedTask
from .webhook_log import WebhookDelivery as WebhookDelivery
from .webhook_log import WebhookLog as WebhookLog
from .webhook_plan import CallbackScenario as CallbackScenario

__all__ = ["CallbackScenario", "Emulator", "Injection", "Scenario", "SimulatedTask", "WebhookDelivery", "WebhookLog"]
