"""
The wire formats of other providers, as their own clients read them.

Each has what submitting and polling a job needs, with the fields that the provider's client requires. A list exists
only where this library uses it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email import message_from_bytes
from urllib.parse import parse_qs

from account import EPOCH, Task
from provider import DashScope
from wire_format import Call, WireFormat

_PROGRESS = 40


class HiAPI(WireFormat):
    """https://docs.hiapi.ai/async-api/"""

    def reply(self, call: Call) -> tuple[str, int, object]:
        if call.method == "GET" and call.path == "/v1/tasks":
            return "list", 200, self._list(int(call.query.get("page", 1)), int(call.query.get("size", 20)))
        return super().reply(call)

    def key(self, call: Call) -> str | None:
        return call.headers.get("idempotency-key")

    def query(self, task_id: str) -> Call:
        return Call("GET", f"/v1/tasks/{task_id}")

    def prompt(self, call: Call) -> str:
        return str(json.loads(call.body)["input"]["prompt"])

    def created(self, task: Task, call: Call) -> object:
        return {"code": 200, "message": "success", "data": {"taskId": task.id}}

    def show(self, task: Task) -> object:
        return {"code": 200, "message": "success", "data": _hiapi(task)}

    def _list(self, page: int, size: int) -> object:
        size = min(size, self.account.largest_page)
        found = self.account.order[::-1]
        rows = [_hiapi(task) for task in found[(page - 1) * size : page * size]]
        return {"code": 200, "data": {"page": page, "size": size, "total": len(found), "tasks": rows}}


def _hiapi(task: Task) -> dict[str, object]:
    shown: dict[str, object] = {
        "taskId": task.id,
        "model": "happyhorse-1.1/text-to-video",
        "status": {"PENDING": "queued", "RUNNING": "handling", "SUCCEEDED": "success"}[task.status],
        "created": int(EPOCH + task.created),
        "completed": 0 if task.ended is None else int(EPOCH + task.ended),
    }
    if task.ended is not None:
        expires = int(EPOCH + task.ended) + 7 * 86_400
        shown["output"] = [{"type": "video", "url": f"https://result.example/{task.id}.mp4", "expireAt": expires}]
    return shown


class Fal(WireFormat):
    """https://docs.fal.ai/model-apis/model-endpoints/queue"""

    def reply(self, call: Call) -> tuple[str, int, object]:
        if call.method == "GET" and not call.path.endswith("/status"):
            return "query", 200, {"video": {"url": f"https://result.example/{self.named(call)}.mp4"}}
        return super().reply(call)

    def named(self, call: Call) -> str:
        return call.path.removesuffix("/status").rpartition("/")[2]

    def query(self, task_id: str) -> Call:
        return Call("GET", f"/a/video/requests/{task_id}/status?logs=false")

    def prompt(self, call: Call) -> str:
        return str(json.loads(call.body)["prompt"])

    def created(self, task: Task, call: Call) -> object:
        return {"status": "IN_QUEUE", "queue_position": 0, **_fal(task, call.headers["host"])}

    def show(self, task: Task) -> object:
        shown: dict[str, object] = {"status": "COMPLETED" if task.ended is not None else "IN_PROGRESS", "logs": None}
        if task.ended is not None:
            shown["metrics"] = {"inference_time": task.seconds}
        return shown | {"request_id": task.id}


def _fal(task: Task, host: str) -> dict[str, str]:
    address = f"http://{host}/a/video/requests/{task.id}"
    return {
        "request_id": task.id,
        "response_url": address,
        "status_url": f"{address}/status",
        "cancel_url": f"{address}/cancel",
    }


class Replicate(WireFormat):
    """https://replicate.com/docs/reference/http"""

    accepted = 201

    def query(self, task_id: str) -> Call:
        return Call("GET", f"/v1/predictions/{task_id}")

    def prompt(self, call: Call) -> str:
        return str(json.loads(call.body)["input"]["prompt"])

    def created(self, task: Task, call: Call) -> object:
        return self.show(task)

    def show(self, task: Task) -> object:
        ended = task.ended is not None
        address = f"https://api.replicate.example/v1/predictions/{task.id}"
        return {
            "id": task.id,
            "model": "a/video",
            "version": "hidden",
            "input": {"prompt": task.prompt},
            "logs": "",
            "output": f"https://result.example/{task.id}.mp4" if ended else None,
            "data_removed": False,
            "error": None,
            "source": "api",
            "status": {"PENDING": "starting", "RUNNING": "processing", "SUCCEEDED": "succeeded"}[task.status],
            "created_at": _iso(task.created),
            "started_at": None if task.began is None else _iso(task.began),
            "completed_at": None if task.ended is None else _iso(task.ended),
            "urls": {"get": address, "cancel": f"{address}/cancel", "web": f"https://replicate.example/p/{task.id}"},
            "metrics": {"predict_time": task.seconds} if ended else {},
        }


class Runway(WireFormat):
    """https://docs.dev.runwayml.com/api/"""

    def query(self, task_id: str) -> Call:
        return Call("GET", f"/v1/tasks/{task_id}")

    def prompt(self, call: Call) -> str:
        return str(json.loads(call.body)["promptText"])

    def created(self, task: Task, call: Call) -> object:
        return {"id": task.id, "estimatedCost": {"credits": 25}}

    def show(self, task: Task) -> object:
        shown: dict[str, object] = {"id": task.id, "status": task.status, "createdAt": _iso(task.created)}
        if task.ended is not None:
            return shown | {"cost": {"credits": 25}, "output": [f"https://result.example/{task.id}.mp4?_jwt=x"]}
        if task.began is not None:
            shown["progress"] = _PROGRESS / 100
        return shown | {"estimatedCost": {"credits": 25}}


class OpenAI(WireFormat):
    """https://platform.openai.com/docs/api-reference/videos"""

    root = "/v1"

    def query(self, task_id: str) -> Call:
        return Call("GET", f"/videos/{task_id}")

    def prompt(self, call: Call) -> str:
        return _field(call, "prompt")

    def created(self, task: Task, call: Call) -> object:
        return self.show(task)

    def show(self, task: Task) -> object:
        ended = task.ended is not None
        return {
            "id": task.id,
            "object": "video",
            "model": "sora-2",
            "status": {"PENDING": "queued", "RUNNING": "in_progress", "SUCCEEDED": "completed"}[task.status],
            "progress": 100 if ended else _PROGRESS,
            "created_at": int(EPOCH + task.created),
            "completed_at": None if task.ended is None else int(EPOCH + task.ended),
            "expires_at": None,
            "error": None,
            "prompt": task.prompt,
            "remixed_from_video_id": None,
            "seconds": "4",
            "size": "720x1280",
        }


class Vertex(WireFormat):
    """https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/veo-video-generation"""

    _MODEL = "publishers/google/models/veo-3.1-generate-001"

    def reply(self, call: Call) -> tuple[str, int, object]:
        if call.path.endswith(":predictLongRunning"):
            return self.submit(call)
        # A query is a POST here.
        return "query", 200, self.show(self.account.tasks[self.named(call)])

    def named(self, call: Call) -> str:
        return str(json.loads(call.body)["operationName"]).rpartition("/")[2]

    def query(self, task_id: str) -> Call:
        body = json.dumps({"operationName": self._name(task_id)}).encode()
        return Call("POST", f"/v1beta1/{self._MODEL}:fetchPredictOperation", body=body)

    def prompt(self, call: Call) -> str:
        return str(json.loads(call.body)["instances"][0]["prompt"])

    def created(self, task: Task, call: Call) -> object:
        return {"name": self._name(task.id)}

    def show(self, task: Task) -> object:
        if task.ended is None:
            return {"name": self._name(task.id)}
        videos = [{"gcsUri": f"gs://results/{task.id}.mp4", "mimeType": "video/mp4"}]
        kind = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"
        response = {"@type": kind, "raiMediaFilteredCount": 0, "videos": videos}
        return {"name": self._name(task.id), "done": True, "response": response}

    def _name(self, task_id: str) -> str:
        return f"{self._MODEL}/operations/{task_id}"


class Luma(WireFormat):
    """https://docs.lumalabs.ai/reference/getgeneration"""

    root = "/dream-machine/v1"
    accepted = 201

    def query(self, task_id: str) -> Call:
        return Call("GET", f"/generations/{task_id}")

    def prompt(self, call: Call) -> str:
        return str(json.loads(call.body)["prompt"])

    def created(self, task: Task, call: Call) -> object:
        return self.show(task)

    def show(self, task: Task) -> object:
        return {
            "id": task.id,
            "generation_type": "video",
            "state": {"PENDING": "queued", "RUNNING": "dreaming", "SUCCEEDED": "completed"}[task.status],
            "failure_reason": None,
            "created_at": _iso(task.created),
            "assets": None if task.ended is None else {"video": f"https://result.example/{task.id}.mp4"},
            "model": "ray-2",
            "request": {"generation_type": "video", "model": "ray-2", "prompt": task.prompt, "resolution": "720p"},
        }


WIRE_FORMATS: dict[str, type[WireFormat]] = {
    "dashscope": DashScope,
    "hiapi": HiAPI,
    "fal": Fal,
    "replicate": Replicate,
    "runway": Runway,
    "openai": OpenAI,
    "vertex": Vertex,
    "luma": Luma,
}


def _field(call: Call, name: str) -> str:
    """Read a field of an HTML form, in either of its two encodings, or of a JSON document."""
    kind = call.headers.get("content-type", "")
    if kind.startswith("application/json"):
        return str(json.loads(call.body)[name])
    if not kind.startswith("multipart/form-data"):
        return parse_qs(call.body.decode())[name][0]
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + call.body)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.walk()}
    return str(parts[name].get_payload()).strip()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(EPOCH + at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
