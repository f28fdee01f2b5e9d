"""The servers that peers need, each on a Unix socket in a folder of ours, started here and ended here."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pwd import getpwnam

from tests.bench.measure import until
from tests.bench.peers.environment import Environment


@contextmanager
def redis(environment: Environment, folder: Path) -> Iterator[Mapping[str, str]]:
    """Every command is in the append-only file and on disk before it is answered."""
    socket = folder / "redis.sock"
    argv = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    argv += ["--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"]
    with _running(environment, argv, folder, None):
        ping = [environment.which("redis-cli") or "redis-cli", "-s", str(socket), "ping"]
        until(lambda: _answers(ping, environment.variables), 20)
        yield {"REDIS_SOCKET": str(socket)}


@contextmanager
def postgres(environment: Environment, folder: Path) -> Iterator[Mapping[str, str]]:
    """A new cluster with the defaults of initdb: fsync and synchronous_commit are on. Never as root, which it refuses."""
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        os.chown(folder, getpwnam(user).pw_uid, -1)
    data = folder / "data"
    initdb = [environment.which("initdb") or "initdb", "-D", str(data), "-A", "trust", "-U", "bench", "-E", "UTF8"]
    subprocess.run(initdb, env=environment.variables, check=True, capture_output=True, user=user, cwd=folder)
    argv = ["postgres", "-D", str(data), "-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
    with _running(environment, argv, folder, user):
        variables = {"PGHOST": str(folder), "PGUSER": "bench", "PGDATABASE": "postgres"}
        ready = [environment.which("pg_isready") or "pg_isready", "-q"]
        until(lambda: _answers(ready, {**environment.variables, **variables}), 30)
        yield variables


def _answers(argv: list[str], variables: Mapping[str, str]) -> bool:
    return subprocess.run(argv, env=variables, capture_output=True).returncode == 0


@contextmanager
def _running(environment: Environment, argv: list[str], folder: Path, user: str | None) -> Iterator[None]:
    program = environment.which(argv[0]) or argv[0]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *argv[1:]],
            cwd=folder,
            env=environment.variables,
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def of_one(variables: Mapping[str, str], number: int) -> Mapping[str, str]:
    """The variables of one peer: a Redis database of its own, so that nobody clears what another one keeps."""
    socket = variables.get("REDIS_SOCKET")
    if socket is None:
        return variables
    url = f"unix://{socket}?db={number}"
    celery = f"redis+socket://{socket}?virtual_host={number}"
    return {**variables, "REDIS_DB": str(number), "REDIS_URL": url, "RQ_REDIS_URL": url, "CELERY_URL": celery}
