"""The contract suite of happyhorse-async, and what WaveSpeedAI is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from happyhorse_wavespeed import WaveSpeedAdapter

import happyhorse_async as hh
from happyhorse_async.testing import AdapterContract

RUNNING: dict[str, Any] = {"id": "p-1", "status": "processing", "outputs": [], "error": ""}
READY: dict[str, Any] = {
    "id": "p-1",
    "status": "completed",
    "outputs": ["https://files.example.net/v.mp4"],
    "error": "",
}
BROKEN: dict[str, Any] = {"id": "p-2", "status": "failed", "outputs": [], "error": "The content was rejected."}


class TestWaveSpeed(AdapterContract):
    """The suite, with answers composed from the pages."""

    adapter = WaveSpeedAdapter()
    samples: ClassVar[Mapping[str, Sequence[Any]]] = {
        "submit": [{"code": 200, "message": "success", "data": {"id": "p-1", "status": "created"}}],
        "fetch": [{"code": 200, "message": "success", "data": data} for data in (RUNNING, READY, BROKEN)],
    }
    refusal_samples: ClassVar[Mapping[type[hh.HappyHorseError], hh.HttpResponse]] = {
        hh.AuthenticationError: hh.HttpResponse(status=401, body=b'{"code": 401, "message": "no such key"}'),
        hh.TaskNotFoundError: hh.HttpResponse(status=404, body=b'{"code": 404, "message": "no such prediction"}'),
    }


def test_the_model_is_in_the_path() -> None:
    """Everything else is in the body, and nothing that was not asked for."""
    client = hh.Client("wavespeed", api_key="any")
    message = client.plan(hh.TextToVideo("a kite", resolution="720P", duration=4)).messages[0]

    assert message.url == "https://api.wavespeed.ai/api/v3/alibaba/happyhorse-1.0/text-to-video"
    assert json.loads(message.body or b"") == {"prompt": "a kite", "resolution": "720p", "duration": 4}


def test_the_price_is_that_of_its_page() -> None:
    """What is left out is made with 720P and five seconds."""
    client = hh.Client("wavespeed", api_key="any")
    price = client.plan(hh.TextToVideo("a kite")).price

    assert str(price) == "0.70 USD"
    assert price is not None
    assert price.as_of == "2026-05"
