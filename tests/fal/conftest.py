"""
fal as its pages describe it, on loopback: a gateway that is scripted by hand, not the emulator.

The event loop skips idle time, so that pauses between polls and between requests for keys take none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import happyhorse_async as hh

from ..conftest import KEY, Gateway
from ..faults.conftest import ImpatientLoop

ID = "11111111-2222-4333-8444-555555555555"
PATH = f"/alibaba/happy-horse/requests/{ID}"
T2V = "/alibaba/happy-horse/v1.1/text-to-video"
VIDEO = {
    "video": {
        "url": "https://files.example.net/b/x/y.mp4",
        "content_type": "video/mp4",
        "file_name": "y.mp4",
        "file_size": 4211337,
        "width": 1280,
        "height": 720,
        "fps": 24,
        "duration": 4.0,
        "num_frames": 96,
    },
    "seed": 7,
}


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """Run every test of this folder on an event loop that skips idle time."""
    return {"impatient": ImpatientLoop}


class Fal:
    """fal's queue, storage and key set, on the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.signer = Ed25519PrivateKey.generate()

    @property
    def url(self) -> str:
        """The root of the queue."""
        return self.gateway.url

    def accept(self, *steps: Any, model: str = T2V) -> None:
        """Accept submits, or answer them with *steps*."""
        accepted = {
            "status": "IN_QUEUE",
            "request_id": ID,
            "response_url": f"{self.url}{PATH}",
            "status_url": f"{self.url}{PATH}/status",
            "cancel_url": f"{self.url}{PATH}/cancel",
            "queue_position": 0,
        }
        self.gateway.on("POST", model, *(steps or [accepted]))

    def show(self, *steps: Any) -> None:
        """Answer status requests; a word is a status."""
        codes = {"IN_QUEUE": 202, "IN_PROGRESS": 202}
        self.gateway.on(
            "GET",
            f"{PATH}/status",
            *(
                self.gateway.reply({"status": step, "request_id": ID}, status=codes.get(step, 200))
                if isinstance(step, str)
                else step
                for step in steps
            ),
        )

    def deliver(self, *steps: Any) -> None:
        """Answer requests for the result."""
        self.gateway.on("GET", PATH, *steps)

    def fail(self, status: int, body: Any, **headers: str) -> Any:
        """Make an answer with an error."""
        return self.gateway.reply(body, status=status, headers=headers)

    def publish(self, *signers: Ed25519PrivateKey) -> dict[str, Any]:
        """Return the key set of *signers*."""
        raw = [signer.public_key().public_bytes_raw() for signer in signers or (self.signer,)]
        keys = [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in raw]
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x} for x in keys]}

    def signed(
        self, said: Mapping[str, Any], *, at: float | None = None, request_id: str = ID, by: Any = None
    ) -> tuple[dict[str, str], bytes]:
        """Make headers and body of a webhook."""
        body = json.dumps(said).encode()
        moment = str(int(time.time() if at is None else at))
        lines = (request_id, "user_example", moment, hashlib.sha256(body).hexdigest())
        headers = {
            "Content-Type": "application/json",
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": "user_example",
            "X-Fal-Webhook-Timestamp": moment,
            "X-Fal-Webhook-Signature": (by or self.signer).sign("\n".join(lines).encode()).hex(),
        }
        return headers, body

    def open(self, **options: Any) -> AbstractAsyncContextManager[hh.Client]:
        """Open a client of fal that talks to the gateway."""
        return hh.Client("fal", api_key=KEY, base_url=self.url, **options)


@pytest.fixture
def fal(gateway: Gateway) -> Fal:
    """fal on the gateway."""
    return Fal(gateway)
