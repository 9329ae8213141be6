"""A PostgreSQL server for the tests, started and stopped by them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg


def binaries() -> Path | None:
    """Folder of PostgreSQL's programs: Debian keeps them off the path. None where they are not installed."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found = shutil.which("initdb")
    return next((place.parent for place in [*places, *([Path(found)] if found else [])]), None)


class Server:
    """A server on the loopback interface that can be stopped and started; `url` is without the name of a database."""

    def __init__(self, url: str, command: list[str], started: dict[str, Any]) -> None:
        self.url, self._command, self._started = url, command, started
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, **self._started)
        _await(f"{self.url}/postgres")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # ends all connections, and takes no others
        self._process.wait(20)


@contextmanager
def cluster(programs: Path) -> Iterator[str]:
    """Give the URL of a server on the loopback interface, without the name of a database."""
    with stoppable(programs) as server:
        yield server.url


@contextmanager
def stoppable(programs: Path) -> Iterator[Server]:
    """Give a server."""
    folder = Path(tempfile.mkdtemp(prefix="velum-postgresql-"))
    user: str | None = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = next(name for name in ("postgres", "nobody") if _known(name))
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, nothing = folder / "data", subprocess.DEVNULL
    started: dict[str, Any] = {"user": user, "cwd": folder, "stdout": nothing, "stderr": nothing}
    initdb = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "-U",
        "velum",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]
    subprocess.run(initdb, check=True, **started)
    options = ["-F", "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-p", str(port)]
    url = f"postgresql://velum@127.0.0.1:{port}"
    server = Server(url, [str(programs / "postgres"), "-D", str(data), *options], started)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextmanager
def database(server: str, name: str) -> Iterator[str]:
    """Give the URL of an empty database of a server."""
    for before in (True, False):  # each with a connection of its own: the server may be stopped in between
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}" if before else f"DROP DATABASE {name} WITH (FORCE)")
        if before:
            yield f"{server}/{name}"


@contextmanager
def emptied(server: str, name: str) -> Iterator[str]:
    """Give the URL of a database without tables, and empty it afterwards: much sooner done than making another one."""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchall():
            connection.execute(f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    with psycopg.connect(f"{server}/{name}", autocommit=True) as connection:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def _known(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def _await(url: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert time.monotonic() < end, "PostgreSQL did not start within 30 s"
            time.sleep(0.05)
        else:
            return
