"""A PostgreSQL server behind PgBouncer: as a pooler of transactions, and as the end of TLS."""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import socket
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from happyhorse_async.errors import StoreError
from happyhorse_async.job import Job, JobState
from happyhorse_async.stores import PostgresStore

from ..postgres_server import PostgresServer, free_port

NewJob = Callable[..., Job]

_PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
pytestmark = pytest.mark.skipif(_PROGRAM is None, reason="pgbouncer is not installed: apt-get install pgbouncer")


@contextmanager
def pgbouncer(server: PostgresServer, *settings: str) -> Generator[int]:
    """Run a PgBouncer before *server*, and return its port."""
    port, folder = free_port(), server.folder
    users, config = folder / f"users-{port}.txt", folder / f"pgbouncer-{port}.ini"
    users.write_text(f'"postgres" "{server.password}"\n')
    config.write_text(
        "\n".join(
            [
                "[databases]",
                f"postgres = host=127.0.0.1 port={server.port} user=postgres password={server.password}",
                "[pgbouncer]",
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =",
                f"auth_type = plain\nauth_file = {users}\nlogfile = {folder}/pgbouncer-{port}.log",
                *settings,
            ]
        )
    )
    for file in (users, config):
        file.chmod(0o644)
    assert _PROGRAM is not None
    process = server.run(Path(_PROGRAM), config)
    try:
        _wait_until_it_listens(process, port)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(1000):
        assert process.poll() is None, "pgbouncer has ended"
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    raise TimeoutError


async def test_a_store_behind_a_pooler_of_transactions(
    postgres_server: PostgresServer, postgres: dict[str, str], new_job: NewJob, opened: Any
) -> None:
    """With one connection for all, no state is left in it; locks and notifications go past it by `listen_url`."""
    with pgbouncer(postgres_server, "pool_mode = transaction", "default_pool_size = 1") as port:
        url = postgres["url"].replace(f":{postgres_server.port}/", f":{port}/")
        settings = {"listen_url": postgres["url"], "schema": postgres["schema"], "takeover_after": 0.0}
        store, other = [await opened(PostgresStore(url, **settings, timeout=30.0)) for _ in range(2)]
        told: list[Any] = []
        other.subscribe(told.append)
        jobs = await asyncio.gather(*(store.add(new_job(owner="gone", key=f"order-{n}")) for n in range(50)))
        changed = [await store.change(evolve(job, durable=True), only_from={JobState.QUEUED}) for job in jobs[:5]]
        found = await asyncio.gather(*(other.by_key(f"order-{number}") for number in range(50)))
        taken = await asyncio.gather(
            *(each.take_over([jobs[0].endpoint], [JobState.QUEUED], 20) for each in (store, other))
        )
        async with asyncio.timeout(30):
            while not told:
                await asyncio.sleep(0.01)

        assert all(changed)
        assert [job.job_id for job in jobs] == [job.job_id for job in found if job]
        assert 40 == len({job.job_id for batch in taken for job in batch})
        assert 0.0 == await store.pace("main/queries", 5.0)
        for each in (store, other):
            await each.aclose()
            await each.open()


def self_signed() -> tuple[str, str]:
    """Make a key and a certificate for 127.0.0.1, signed by itself, and return both as text."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "database")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), made.public_bytes(serialization.Encoding.PEM).decode()


async def test_tls_is_used_and_checked_as_the_url_says(
    postgres_server: PostgresServer, postgres: dict[str, str], new_job: NewJob, opened: Any
) -> None:
    """An unknown certificate is refused, and the server refuses clear text."""
    files = {name: postgres_server.folder / name for name in ("server.key", "server.crt", "another.crt")}
    files["server.key"].write_text((pair := self_signed())[0])
    files["server.crt"].write_text(pair[1])
    files["another.crt"].write_text(self_signed()[1])
    for file in files.values():
        file.chmod(0o644)
    tls = [
        "pool_mode = session",
        "client_tls_sslmode = require",
        f"client_tls_key_file = {files['server.key']}",
        f"client_tls_cert_file = {files['server.crt']}",
    ]
    with pgbouncer(postgres_server, *tls) as port:
        base = postgres["url"].replace(f":{postgres_server.port}/", f":{port}/")
        # PgBouncer refuses the parameters that the listening connection sets, so only the others go by it.
        settings: dict[str, Any] = {"listen_url": postgres["url"], "schema": postgres["schema"]}
        checked = f"{base}?sslmode=verify-full&sslrootcert="
        store = await opened(PostgresStore(f"{checked}{files['server.crt']}", **settings, timeout=30.0))

        assert await store.add(new_job())

        for url in (f"{checked}{files['another.crt']}", f"{base}?sslmode=disable"):
            refused = await opened(PostgresStore(url, **settings, timeout=3.0))
            with pytest.raises(StoreError) as caught:
                await refused.add(new_job())
            assert "in time" not in caught.value.message
