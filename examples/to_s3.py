"""
Stream a finished video into an S3 bucket with a presigned URL, without a file on this machine.

    python to_s3.py main:0385dc79-… 'https://bucket.s3.amazonaws.com/train.mp4?X-Amz-Signature=…'
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp

import happyhorse_async as hh


async def copy_to_s3(client: hh.Client, ref: str, presigned_url: str) -> int:
    """Wait for the task, upload its video with a PUT, and return the number of bytes."""
    task = await client.resume(ref)
    async with client.stream(task) as chunks, aiohttp.ClientSession() as session:
        # S3 refuses an upload whose length is not known at the start.
        if chunks.total is None:
            raise RuntimeError("the provider does not announce the size: download the video to a file first")
        headers = {"Content-Type": "video/mp4", "Content-Length": str(chunks.total)}
        async with session.put(presigned_url, data=chunks, headers=headers) as response:
            response.raise_for_status()
        return chunks.total


async def main(ref: str, presigned_url: str) -> None:
    async with hh.Client.from_config() as client:
        print(await copy_to_s3(client, ref, presigned_url), "bytes uploaded")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
