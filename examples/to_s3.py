"""
Upload a finished video to an S3 bucket with a presigned URL, without keeping it on this machine.

The provider's URL expires and is a credential. So the video is first downloaded, resumed and checked, to a temporary
file.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import aiohttp

import happyhorse_async as hh


async def copy_to_s3(client: hh.Client, ref: str, presigned_url: str) -> int:
    """Wait for the task, upload its video with a PUT, and return the number of bytes."""
    with tempfile.TemporaryDirectory() as folder:
        file = await client.resume(ref).download(Path(folder, "video.mp4"))
        size = (await asyncio.to_thread(file.stat)).st_size
        await put(file, size, presigned_url)
    return size


async def put(file: Path, size: int, url: str) -> None:
    # S3 refuses chunked uploads: the length must be known. aiohttp reads the file in a thread.
    headers = {"Content-Type": "video/mp4", "Content-Length": str(size)}
    with await asyncio.to_thread(file.open, "rb") as body:
        async with aiohttp.ClientSession() as session, session.put(url, data=body, headers=headers) as response:
            response.raise_for_status()


async def main(ref: str, presigned_url: str) -> None:
    async with hh.Client.from_config() as client:
        print(await copy_to_s3(client, ref, presigned_url), "bytes uploaded")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
