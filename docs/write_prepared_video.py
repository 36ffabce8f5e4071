"""
Write the video that the emulator serves where the packages are missing that make one as it was asked for.

Run `python docs/write_prepared_video.py` after the look of test videos has changed. It needs the extra `emulator`.
"""

from __future__ import annotations

from happyhorse_async.emulator.encoder import encode
from happyhorse_async.emulator.media_cache import PREPARED_VIDEO
from happyhorse_async.emulator.media_spec import MediaSpec

SPEC = MediaSpec(
    provider="any provider",
    mode="any mode",
    model="prepared, and the same for every request",
    prompt="pip install 'happyhorse-async[emulator]' makes videos of your prompt, picture, size and length",
    width=640,
    height=360,
    seconds=3.0,
)

if __name__ == "__main__":
    encode(SPEC, PREPARED_VIDEO, checkpoint=lambda: None)
