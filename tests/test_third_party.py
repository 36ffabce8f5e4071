"""A fifth provider that comes by entry point alone."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Gateway

PROVIDER = """
    import json

    import happyhorse_async as hh

    STATUSES = {"queued": hh.TaskStatus.PENDING, "done": hh.TaskStatus.SUCCEEDED}


    class Toy(hh.Adapter):
        name = "toy"
        title = "Toy"
        documentation = "https://toy.example/docs"
        api_key_env = "TOY_API_KEY"
        capabilities = hh.Capabilities(
            models=[hh.ModelSpec(mode=hh.Mode.T2V, version="1.0", model="toy-t2v", resolutions=("720P",))]
        )
        default_base_url = "https://toy.example"

        def encode_submit(self, submission, account):
            body = json.dumps({"prompt": submission.request.prompt}).encode()
            return hh.HttpRequest(method="POST", url=f"{account.base_url}/videos", body=body)

        def decode_submit(self, response, account):
            return self.task(json.loads(response.body), account)

        def encode_fetch(self, task_id, account):
            return hh.HttpRequest(method="GET", url=f"{account.base_url}/videos/{task_id}")

        def decode_fetch(self, response, task_id, account):
            return self.task(json.loads(response.body), account)

        def task(self, answer, account):
            videos = tuple(hh.Video(url=url) for url in answer.get("urls", ()))
            return hh.Task(ref=account.ref(answer["id"]), status=STATUSES[answer["status"]], videos=videos)
"""

PROGRAM = """
    import asyncio
    import sys

    import happyhorse_async as hh

    async def main():
        async with hh.Client("toy", base_url=sys.argv[1], poll=hh.PollSchedule(interval=0.01)) as client:
            task = await client.generate(hh.TextToVideo("a train at night"))
        print(task.ref, task.video_url)

    asyncio.run(main())
"""


async def test_a_provider_by_entry_point(gateway: Gateway, tmp_path: Path) -> None:
    """A distribution that only registers its adapter is used by name: nothing in this library is edited for it."""
    metadata = tmp_path / "happyhorse_toy-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: happyhorse-toy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[happyhorse_async.adapters]\ntoy = happyhorse_toy:Toy\n")
    (tmp_path / "happyhorse_toy.py").write_text(dedent(PROVIDER))
    gateway.accept("t-1")
    gateway.show("t-1", "queued", "done")

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        dedent(PROGRAM),
        gateway.url,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "TOY_API_KEY": "sk-toy"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()

    assert (0, b"") == (process.returncode, errors)
    assert f"toy:t-1 {gateway.url}/files/t-1.mp4?signature=s3cr3t" == output.decode().strip()
    assert b'{"prompt": "a train at night"}' == gateway.seen("POST")[0].body
