"""
What the processes that share a database need: who owns which jobs, and when a request may be sent.

`{schema}` is the quoted name of the schema.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import define, field

from ...job import Endpoint, JobState
from ..contract import MOST_RELEASED
from ..pacing import LONGEST_PAUSE, LONGEST_SPACING, MOST_PERMITS_AHEAD, PROBE
from .operations import TakeOver
from .rows import TABLE, name_text

if TYPE_CHECKING:
    from .operations import Connection

# The key of the lock of an owner: 64 bits, so that two owners have the same one only by a freak.
_KEY = "hashtextextended({}, 0)"
TRY_LOCK = f"SELECT pg_try_advisory_lock({_KEY.format('$1')})"
"""Takes the lock of the owner $1 for this connection."""
_LOCKS = """
    SELECT classid, objid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_HAS_LOCK = f"""
    EXISTS (
        SELECT FROM locks
        WHERE classid = (({_KEY.format("owner")} >> 32) & 4294967295)::oid
            AND objid = ({_KEY.format("owner")} & 4294967295)::oid
    )
"""
LIVING = f"""
    WITH locks AS MATERIALIZED ({_LOCKS})
    SELECT owner FROM unnest($1::text[]) AS owner WHERE {_HAS_LOCK}
"""  # noqa: S608
"""Returns which of the owners $1 have their lock."""
KNOW_SERVER = """
    INSERT INTO {schema}.server AS server (id, started_at, known_since)
    VALUES (1, pg_postmaster_start_time(), clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET
        started_at = excluded.started_at,
        known_since = CASE
            WHEN server.started_at = excluded.started_at THEN server.known_since ELSE excluded.known_since
        END
    RETURNING extract(epoch FROM clock_timestamp() - known_since)::float8
"""
"""Records that a process has reached this server, and returns for how many seconds one or another has known it."""

_GROUPS = (
    "unnest($1::text[], $2::text[], $3::text[]) AS place(provider, adapter, base_url), "
    "unnest($4::text[]) AS wanted(state)"
)
_OPEN = "job.provider = place.provider AND job.state = wanted.state AND job.closed_at IS NULL"
_HERE = "job.adapter = place.adapter AND job.base_url = place.base_url"


def _smallest_owner(of: str, condition: str = "") -> str:
    return f"""(
        SELECT min(coalesce(job.owner, '')) FROM {{schema}}.jobs AS job
        WHERE job.provider = {of}.provider AND job.state = {of}.state AND job.closed_at IS NULL {condition}
    )"""  # noqa: S608


# Each step jumps to the next owner in the index, so that it does not matter how many jobs an owner has.
_MISSING = f"""
    WITH RECURSIVE groups AS (
        SELECT DISTINCT place.provider, wanted.state FROM {_GROUPS}
    ), owners AS (
        SELECT provider, state, {_smallest_owner("groups")} AS owner FROM groups
        UNION ALL
        SELECT provider, state, {_smallest_owner("owners", "AND coalesce(job.owner, '') > owners.owner")}
        FROM owners WHERE owner IS NOT NULL
    ), locks AS MATERIALIZED ({_LOCKS})
    SELECT DISTINCT owner FROM owners WHERE owner = '' OR ($5 AND owner <> $6 AND NOT {_HAS_LOCK})
"""  # noqa: S608
# Rows that another process is taking, or writing, at this moment are left to it.
_TAKE = f"""
    WITH orphans AS (
        SELECT orphan.number
        FROM {_GROUPS}, unnest($5::text[]) AS gone(owner), LATERAL (
            SELECT job.number FROM {{schema}}.jobs AS job
            WHERE {_OPEN} AND coalesce(job.owner, '') = gone.owner AND {_HERE}
            ORDER BY job.number LIMIT $6 FOR UPDATE SKIP LOCKED
        ) AS orphan
        ORDER BY orphan.number LIMIT $6
    )
    UPDATE {{schema}}.jobs SET owner = $7, write_id = $8 FROM orphans WHERE jobs.number = orphans.number
    RETURNING jobs.number
"""  # noqa: S608
_TAKEN = "SELECT number FROM {schema}.jobs WHERE owner = $1 AND write_id = ANY($2) AND closed_at IS NULL"
_COUNT = f"""
    SELECT job.model, count(*) AS jobs FROM {_GROUPS}, {{schema}}.jobs AS job
    WHERE {_OPEN} AND {_HERE} GROUP BY job.model
"""  # noqa: S608


@define
class Orphans:
    """Takes over jobs that have no living owner."""

    schema: str
    _unanswered: dict[object, set[int]] = field(factory=dict[object, set[int]], init=False)
    """The numbers of the writes whose commit was not answered, by what they were to take."""

    async def take(self, connection: Connection, works: Sequence[TakeOver], owner: str) -> list[list[int]]:
        """Make *owner* the owner of jobs, and return their numbers for each of *works*, the oldest first."""
        unanswered = {work.group: self._unanswered.setdefault(work.group, set()) for work in works}
        earlier = {group: set(numbers) for group, numbers in unanswered.items()}
        taken: list[list[int]] = []
        for work in works:
            # What was taken by a write that its caller never heard of belongs to this process, which does not know it.
            lost = {work.write_id} if work.write_id in earlier[work.group] else earlier[work.group]
            earlier[work.group] = earlier[work.group] - lost
            found = await connection.fetch(_TAKEN.format(schema=self.schema), owner, list(lost)) if lost else []
            numbers = [row["number"] for row in found]
            numbers += await self._take(connection, work, owner, work.limit - len(numbers))
            taken.append(sorted(numbers))
        for work in works:
            unanswered[work.group].add(work.write_id)
        return taken

    async def missing(
        self,
        connection: Connection,
        endpoints: Collection[Endpoint],
        states: Collection[JobState],
        *,
        owner: str,
        knows_the_dead: bool,
    ) -> set[str]:
        """
        Return the owners of jobs that are not there: the empty one, and those without a lock.

        :param knows_the_dead: whether an owner without a lock can be told from a living one.
        """
        rows = await connection.fetch(
            _MISSING.format(schema=self.schema), *_groups(endpoints, states), knows_the_dead, owner
        )
        return {row["owner"] for row in rows}

    async def _take(self, connection: Connection, work: TakeOver, owner: str, limit: int) -> list[int]:
        rows = await connection.fetch(LIVING, [*work.gone, owner])
        living = {row["owner"] for row in rows}
        # Where the own lock is missing, this is not the server that has the locks: another one has just replaced it.
        dead = set(work.gone) - living - {""} if owner in living else set[str]()
        # What another process has released in the meantime has no owner.
        numbers = await self._give(connection, work, work.states, {"", *dead}, limit, owner)
        if dead and len(numbers) == limit:
            waiting = {JobState.QUEUED}.intersection(work.states)
            await self._give(connection, work, waiting, dead, MOST_RELEASED, "")
        return numbers

    async def _give(
        self,
        connection: Connection,
        work: TakeOver,
        states: Collection[JobState],
        gone: Collection[str],
        limit: int,
        owner: str,
    ) -> list[int]:
        """Write another owner over those in *gone*, and return the numbers of the jobs."""
        if not states or not limit:
            return []
        statement, groups = _TAKE.format(schema=self.schema), _groups(work.endpoints, states)
        rows = await connection.fetch(statement, *groups, list(gone), limit, owner, work.write_id)
        return [row["number"] for row in rows]

    def has_unanswered(self, endpoints: Collection[Endpoint], states: Collection[JobState]) -> bool:
        """Return whether this process may have taken such jobs and does not know it."""
        return bool(self._unanswered.get(TakeOver(endpoints, states, 0, ()).group))

    def confirm(self, works: Sequence[TakeOver]) -> None:
        """Forget the unanswered writes before those that were committed."""
        for work in works:
            self._unanswered.pop(work.group, None)


async def count(
    connection: Connection, schema: str, endpoints: Collection[Endpoint], states: Collection[JobState]
) -> Mapping[str, int]:
    """Return how many unfinished jobs there are, by model."""
    rows = await connection.fetch(_COUNT.format(schema=schema), *_groups(endpoints, states))
    return Counter({TABLE.forms["TEXT"].read(row["model"]): row["jobs"] for row in rows})


def _groups(endpoints: Collection[Endpoint], states: Collection[JobState]) -> list[list[str]]:
    places = [
        tuple(name_text(text) for text in (endpoint.provider, endpoint.adapter, endpoint.base_url))
        for endpoint in dict.fromkeys(endpoints)
    ]
    return [*([place[part] for place in places] for part in range(3)), list({state.value for state in states})]


_NOW = "clock_timestamp()"


def _seconds(text: str) -> str:
    return f"make_interval(secs => {text})"


# `pacing.Pace` says what each of these means; here they are one statement, because every request waits for it.
_SPACING = f"""
    CASE WHEN pace.spacing_until > {_NOW} AND pace.spacing_until <= {_NOW} + {_seconds(str(LONGEST_SPACING))}
        THEN pace.spacing ELSE 0 END
"""
_STEP = f"greatest($2::float8, {_SPACING})"
_DUE = f"""
    CASE WHEN pace.free_at - {_NOW} <= {_seconds(f"{LONGEST_PAUSE} + {MOST_PERMITS_AHEAD} * {_STEP}")}
        THEN greatest(pace.free_at, {_NOW}) ELSE {_NOW} END
"""
PERMIT = f"""
    INSERT INTO {{schema}}.paces AS pace (name, due_at, free_at, is_probing, spacing, spacing_until)
    VALUES ($1, {_NOW}, {_NOW} + {_seconds("$2::float8")}, false, 0, {_NOW})
    ON CONFLICT (name) DO UPDATE SET
        due_at = {_DUE},
        free_at = {_DUE} + {_seconds(f"CASE WHEN pace.is_probing THEN greatest({_STEP}, {PROBE}) ELSE {_STEP} END")},
        is_probing = false
    RETURNING greatest(0, extract(epoch FROM pace.due_at - {_NOW}))::float8
"""  # noqa: S608
"""Takes the next permit of the name $1, in steps of $2 seconds, and returns in how many seconds it is due."""

_UNTIL = f"{_NOW} + {_seconds(f'least($2::float8, {LONGEST_PAUSE})')}"
_SPACED_UNTIL = f"{_NOW} + {_seconds(f'least($4::float8, {LONGEST_SPACING})')}"
HOLD_BACK = f"""
    INSERT INTO {{schema}}.paces AS pace (name, due_at, free_at, is_probing, spacing, spacing_until)
    VALUES ($1, {_NOW}, {_UNTIL}, $2::float8 > 0, $3::float8, {_SPACED_UNTIL})
    ON CONFLICT (name) DO UPDATE SET
        free_at = CASE
            WHEN NOT $2::float8 > 0 THEN pace.free_at
            WHEN pace.free_at - {_NOW} <= {_seconds(str(LONGEST_PAUSE))} THEN greatest(pace.free_at, {_UNTIL})
            ELSE {_UNTIL}
        END,
        is_probing = pace.is_probing OR $2::float8 > 0,
        spacing = CASE WHEN $3::float8 > {_SPACING} THEN $3::float8 ELSE pace.spacing END,
        spacing_until = CASE WHEN $3::float8 > {_SPACING} THEN {_SPACED_UNTIL} ELSE pace.spacing_until END
"""  # noqa: S608
"""Delays the permits of the name $1: a pause of $2 seconds, steps of $3 seconds for the next $4."""
