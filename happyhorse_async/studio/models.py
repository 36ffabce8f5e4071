"""What the accounts of a client, and the other installed providers, can make, as JSON for the form of the page."""

from __future__ import annotations

from typing import Any

from ..capabilities import MEGABYTE, ModelSpec
from ..registry import installed_adapters


def models_of(specs: tuple[ModelSpec, ...]) -> list[dict[str, Any]]:
    """Return the models of a provider for JSON. The first of a mode is the one that is chosen by default."""
    return [_model(spec) for spec in specs]


def installed_models() -> dict[str, list[dict[str, Any]]]:
    """Return the models of every installed adapter, so that the page can say who has what an account lacks."""
    return {name: models_of(adapter.capabilities.models) for name, adapter in installed_adapters()}


def largest_medium() -> int:
    """Return the bytes of the largest picture or video that any installed provider documents."""
    sizes = [
        limits.megabytes or 0.0
        for _, adapter in installed_adapters()
        for spec in adapter.capabilities.models
        for limits in (spec.picture_limits, spec.video_limits)
        if limits is not None
    ]
    return int(max(sizes, default=0.0) * MEGABYTE)


def _model(spec: ModelSpec) -> dict[str, Any]:
    return {
        "mode": spec.mode.value,
        "version": spec.version,
        "model": spec.model,
        "opt_in": spec.opt_in,
        "resolution": list(spec.resolutions),
        "ratio": list(spec.ratios),
        "duration": [spec.durations[0], spec.durations[-1]] if spec.durations else [],
        "seed": spec.seed,
        "watermark": spec.watermark,
        "audio": list(spec.audio),
        "prompt_required": spec.prompt_required,
        "prompt_limit": spec.prompt_limit,
        "images": [spec.images[0], spec.images[-1]] if spec.images else [],
        "local_images": spec.inline_limit is not None or spec.upload_form is not None,
        "local_video": spec.upload_form is not None,
    }
