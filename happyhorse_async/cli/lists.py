"""`list` and `providers`: tables of tasks, jobs and providers."""

from __future__ import annotations

from ..adapter import Adapter
from ..errors import ConfigurationError
from ..registry import adapter_names, find_adapter
from .output import Output
from .render import ADAPTER_COLUMNS, adapter_object, adapter_row, job_object, local_time, task_object
from .session import Session
from .table import Column

_TASKS = (
    Column("ref"),
    Column("status"),
    Column("created", required=False),
    Column("model", required=False),
    Column("finished", required=False),
)
_JOBS = (
    Column("job"),
    Column("state"),
    Column("ref"),
    Column("key", required=False),
    Column("created", required=False),
)


async def list_tasks(output: Output, session: Session, provider: str | None, *, limit: int) -> None:
    """Print the account's tasks, newest first."""
    async with session.client(provider) as client:
        tasks = await client.list_tasks(limit=limit)
    for task in tasks:
        output.object(task_object(task))
    if not tasks:
        output.note("no tasks")
        return
    rows = (
        (task.ref, task.status, local_time(task.created_at), task.model, local_time(task.finished_at)) for task in tasks
    )
    output.table(_TASKS, rows)


async def list_pending(output: Output, session: Session, provider: str | None) -> None:
    """Print the jobs in the journal that have not ended, oldest first."""
    session.check_memory("list --pending")
    settings = session.settings
    of_all = provider is None and len(settings.providers) > 1
    names = list(settings.providers) if of_all else [settings.choose(provider).name]
    async with session.journal() as store:
        jobs = [job for name in names for job in await store.unfinished(name)]
    jobs.sort(key=lambda job: job.created_at)
    for job in jobs:
        output.object(job_object(job))
    if not jobs:
        output.note("nothing is pending")
        return
    output.table(_JOBS, ((job.job_id, job.state, job.ref, job.key, local_time(job.created_at)) for job in jobs))


def list_providers(output: Output) -> None:
    """Print the capabilities of the installed providers."""
    adapters: list[Adapter] = []
    for name in adapter_names():
        try:
            adapters.append(find_adapter(name))
        except ConfigurationError as error:
            output.warn(str(error))
    for adapter in adapters:
        output.object(adapter_object(adapter))
    output.table([Column(title) for title in ADAPTER_COLUMNS], map(adapter_row, adapters))
