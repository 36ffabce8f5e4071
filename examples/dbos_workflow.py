"""
Script, video, upload, notification: one durable workflow of DBOS, with the video as one of its steps.

Run it beside a `happyhorse.toml` with a `[store]`: `python dbos_workflow.py order-8472 "cardboard trains"`.
`WORKFLOWS_URL` is the database of DBOS. Kill it and run it again: it goes on, and the video is paid for once.
"""

from __future__ import annotations

import asyncio
import os
import sys

import aiohttp
from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import DBOSPortableJSONSerializer as PortableJSON

import happyhorse_async as hh

clients: list[hh.Client] = []


@DBOS.step()
async def write_script(topic: str) -> str:
    return f"A documentary about {topic}, narrated by a patient owl"


@DBOS.step()
async def order_video(order: str, script: str) -> str:
    return (await clients[0].enqueue(hh.TextToVideo(script), key=order)).job_id  # run twice, it is the same job


@DBOS.step()
async def make_video(job_id: str) -> str:
    """Returns the ref and not the task: DBOS keeps what a step returns, and the URL of the video is a credential."""
    return str((await clients[0].run(job_id)).ref)


@DBOS.step(retries_allowed=True)
async def upload(order: str, ref: str) -> str:
    url = f"{os.environ['UPLOAD_URL']}/{order}.mp4"
    task = await clients[0].fetch(ref)
    async with clients[0].stream(task) as chunks, aiohttp.ClientSession(raise_for_status=True) as http:
        await http.put(url, data=chunks)
    return url


@DBOS.step(retries_allowed=True)
async def notify(order: str, url: str) -> None:
    """May be sent twice, if the process dies between the answer and the record of it."""
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        await http.post(os.environ["NOTIFY_URL"], json={"order": order, "video": url})


@DBOS.workflow()
async def publish(order: str, topic: str) -> str:
    ref = await make_video(await order_video(order, await write_script(topic)))
    url = await upload(order, ref)
    await notify(order, url)
    return url


async def main(order: str, topic: str) -> None:
    # DBOS takes up what this executor has left: each process needs an id of its own, the same after a restart.
    config = DBOSConfig(name="publisher", executor_id=os.environ.get("HOSTNAME", "one"), application_version="1")
    DBOS(config={**config, "system_database_url": os.environ["WORKFLOWS_URL"], "serializer": PortableJSON()})
    try:
        async with hh.Client.from_config() as client:
            clients.append(client)
            DBOS.launch()  # here, so that workflows run on the event loop of the client
            with SetWorkflowID(order):
                handle = await DBOS.start_workflow_async(publish, order, topic)
            print(await handle.get_result())
    finally:
        DBOS.destroy()  # last, because the event loop has the threads of DBOS now


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
