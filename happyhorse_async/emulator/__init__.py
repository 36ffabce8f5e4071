"""
All providers on one machine: a real HTTP server that answers like them and delivers real videos.

    HttpRequest ─emulated API reads→ VideoRequest ─scenario→ Task ─emulated API answers→ HttpResponse

Nothing is generated: a video is a test picture that shows the request.
"""

from __future__ import annotations

from .emulator import Emulator as Emulator
from .faults import Injection as Injection
from .request_log import ReceivedRequest as ReceivedRequest
from .scenario import Scenario as Scenario
from .scenario import SimulatedTask as SimulatedTask
from .webhook_log import WebhookDelivery as WebhookDelivery
from .webhook_log import WebhookLog as WebhookLog
from .webhook_queue import CallbackScenario as CallbackScenario

__all__ = [
    "CallbackScenario",
    "Emulator",
    "Injection",
    "ReceivedRequest",
    "Scenario",
    "SimulatedTask",
    "WebhookDelivery",
    "WebhookLog",
]
