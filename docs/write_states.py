"""
Draw docs/states.svg from the table of the states of a job.

Run this file after a change of `TRANSITIONS` in jobs/state.py. A test in tests/docs fails if it was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from happyhorse_async.jobs.state import TRANSITIONS, JobState

PICTURE = Path(__file__).parent / "states.svg"
_WIDTH, _HEIGHT = 900, 330
_BOX = (136, 32)

# The middle of each state. A new state has to be given a place here.
_PLACES = {
    JobState.QUEUED: (76, 180),
    JobState.SUBMITTING: (256, 105),
    JobState.OUTCOME_UNKNOWN: (446, 34),
    JobState.WRITTEN_OFF: (656, 34),
    JobState.ACCEPTED: (446, 170),
    JobState.SUCCEEDED: (672, 100),
    JobState.FAILED: (740, 148),
    JobState.CANCELED: (826, 204),
    JobState.EXPIRED: (672, 290),
    JobState.REFUSED: (256, 290),
    JobState.WITHDRAWN: (446, 290),
}
_HEAD = f"""\
<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="The states of a job" xmlns="http://www.w3.org/2000/svg"
     style="width: 100%; max-width: 58rem; font-family: inherit; color: inherit" fill="none" stroke="currentColor">
  <defs>
    <marker id="state-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
      <path d="M0 0 8 4 0 8z" fill="currentColor" stroke="none"/>
    </marker>
  </defs>
"""


def picture() -> str:
    """Return the drawing: a box for each state, a line for each pair that an event leads between."""
    boxes = "".join(_box(state) for state in JobState)
    return f"{_HEAD}{''.join(_lines())}{boxes}</svg>\n"


def _box(state: JobState) -> str:
    x, y = _PLACES[state]
    width, height = _BOX
    corner = f'x="{x - width // 2}" y="{y - height // 2}" width="{width}" height="{height}"'
    text = f'<text x="{x}" y="{y + 4}" text-anchor="middle" font-size="12" fill="currentColor" stroke="none">{state}</text>'
    return f'  <rect {corner} rx="6" stroke-width="1.3"/>\n  {text}\n'


def _lines() -> Iterator[str]:
    events: dict[tuple[JobState, JobState], list[str]] = {}
    for (before, event), after in TRANSITIONS.items():
        if before is not after:
            events.setdefault((before, after), []).append(event.value)
    for (before, after), names in events.items():
        back = events.get((after, before))
        if back is not None and list(JobState).index(before) > list(JobState).index(after):
            continue
        title = f"{before} to {after}: {', '.join(names)}" + (f"; back: {', '.join(back)}" if back else "")
        (x1, y1), (x2, y2) = _edge(before, after), _edge(after, before)
        ends = 'marker-end="url(#state-tip)"' + (' marker-start="url(#state-tip)"' if back else "")
        yield f'  <path d="M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}" stroke-width="1.1" {ends}><title>{title}</title></path>\n'


def _edge(state: JobState, towards: JobState) -> tuple[float, float]:
    """Return where the line between the middles of two boxes leaves the first."""
    (x, y), (to_x, to_y) = _PLACES[state], _PLACES[towards]
    dx, dy = to_x - x, to_y - y
    share = min(side / 2 / abs(way) for side, way in zip(_BOX, (dx, dy), strict=True) if way)
    return x + dx * share, y + dy * share


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
