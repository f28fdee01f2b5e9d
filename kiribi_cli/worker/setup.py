"""From what a person wishes for and what jobs.toml says to a worker that can run: who it is, where things are."""

import gc
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from kiribi_cli import __version__
from kiribi_cli.clock import now_ms
from kiribi_cli.config.discover import Database
from kiribi_cli.config.model import Config
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.private import make_folder, refuse_stranger
from kiribi_cli.runner.hands import refuse_without_proc
from kiribi_cli.runner.launch import Place
from kiribi_cli.runner.process import boot_id, pid_namespace, start_ticks
from kiribi_cli.store.base import NewWorker, Store
from kiribi_cli.store.liveness import Liveness
from kiribi_cli.worker.definitions import Definitions
from kiribi_cli.worker.journal import Journal
from kiribi_cli.worker.signals import Signals
from kiribi_cli.worker.stopping import Limits
from kiribi_cli.worker.worker import Setup, Worker

# What a worker opens at most without running anything, and the start of one job.
FILES = 32


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of `kiribi worker`; None where jobs.toml or the built-in default decides. Milliseconds."""

    name: str | None = None
    queues: Mapping[str, int | None] | None = None
    slots: int | None = None
    drain: bool = False
    max_jobs: int | None = None
    max_time_ms: int | None = None
    idle_exit_ms: int | None = None
    drain_timeout_ms: int | None = None
    sweep_argv: tuple[str, ...] = ()


def enlist(
    store: Store,
    config: Config,
    database: Database,
    wish: Wish,
    journal: Journal,
    *,
    read: Callable[[], Config] | None = None,
) -> "Enlisted":
    """Make a worker ready to run. Raises NOT_FOUND for unknown queues, REFUSED where it could not work."""
    _check_queues(config, wish.queues or {})
    slots = wish.slots or config.worker.concurrency or len(os.sched_getaffinity(0))
    if (possible := slots_by_files()) < slots:
        journal.say(now_ms(), f"{possible} slots, not {slots}: more would need more open files (ulimit -n)")
        slots = possible
    identity = identify(wish.name, "worker", slots=slots, queues=wish.queues, config=config)
    setup = Setup(
        identity=identity,
        logs_dir=str(private(database.logs)),
        run_dir=str(private(database.run)),
        sweep_argv=wish.sweep_argv,
        drain=wish.drain,
        limits=Limits(wish.max_jobs, wish.max_time_ms, wish.idle_exit_ms),
        drain_timeout_ms=wish.drain_timeout_ms,
    )
    journal.by = identity.name
    return Enlisted(
        store, Definitions(config, read, machine_zone=machine_zone()), place_of(config, database), setup, journal
    )


@dataclass(frozen=True, slots=True)
class Enlisted:
    """A worker that has not begun yet."""

    store: Store
    definitions: Definitions
    place: Place
    setup: Setup
    journal: Journal

    def run(self) -> bool:
        """Work until told to stop; true if no job failed for good. Holds the lock that proves it alive."""
        who = self.setup.identity
        liveness = Liveness(self.setup.run_dir, who.name, who.pid, who.process)
        signals = Signals()
        signals.install()
        # What is there now stays as long as we do, and most of what comes goes within a turn without any help.
        gc.freeze()
        gc.set_threshold(20_000, 50, 100)
        try:
            return Worker(self.store, self.definitions, self.place, self.setup, self.journal, signals, liveness).run()
        finally:
            liveness.close()


def identify(
    name: str | None,
    kind: Literal["worker", "run"],
    *,
    slots: int,
    queues: Mapping[str, int | None] | None,
    config: Config,
) -> NewWorker:
    """Name this process as a worker, for ever: host, pid, boot and start time."""
    import json

    host = os.uname().nodename
    pid = os.getpid()
    return NewWorker(
        name=name or f"{host}:{pid}",
        host=host,
        pid=pid,
        process=json.dumps([boot_id(), pid_namespace(), start_ticks(pid)]),
        version=__version__,
        kind=kind,
        slots=slots,
        queues=queues,
        config_path=None if config.path is None else str(config.path),
    )


def place_of(config: Config, database: Database, environ: Mapping[str, str] = os.environ) -> Place:
    """Where jobs run: our environment, this interpreter, these files."""
    return Place(
        environ=environ,
        interpreter=sys.executable,
        config_path=None if config.path is None else str(config.path),
        db_path=str(database.path),
    )


def private(folder: Path) -> Path:
    """Make a folder that only we can read, whatever the umask. Raises REFUSED for one that others can write to."""
    make_folder(folder)
    refuse_stranger(folder)
    return folder


def refuse_unfit_machine() -> None:
    """Raise REFUSED where a worker could not keep what it promises, before it takes anything on."""
    refuse_without_proc()
    slots_by_files()


def slots_by_files() -> int:
    """Say how many slots the descriptors suffice for that we and the launcher may open. Raises REFUSED if for none."""
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return sys.maxsize
    if files < FILES:
        sentence = f"a worker needs {FILES} open files at least, and this one may have {files}"
        raise KiribiError(Code.REFUSED, sentence, hint="ulimit -n 1024")
    # Two pipes, a log, and for a moment what its start needs.
    return max(1, (files - FILES // 2) // 4)


def machine_zone() -> str:
    """Name the zone of this machine, UTC where it has no name."""
    named = os.environ.get("TZ", "").removeprefix(":") or os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    if _is_installed(named):
        return named
    try:
        from zoneinfo import ZoneInfo

        return ZoneInfo(named).key or "UTC"
    except (ValueError, OSError, KeyError):
        return "UTC"


def _is_installed(zone: str) -> bool:
    """Whether it is a zone, where most systems have them: without loading zoneinfo, 0.5 MB that few workers need."""
    if zone.startswith("/") or ".." in zone:
        return False
    try:
        with open(f"/usr/share/zoneinfo/{zone}", "rb") as file:  # noqa: PTH123  (names that Path would tidy up)
            return file.read(4) == b"TZif"
    except (OSError, ValueError):
        return False


def _check_queues(config: Config, queues: Mapping[str, int | None]) -> None:
    known = {*config.queues, *(definition.queue for definition in config.definitions.values())}
    unknown = [name for name in queues if name not in known]
    # Without a jobs.toml any name is a queue.
    if unknown and config.path is not None:
        sentence = f'no queue "{unknown[0]}" in {config.path}'
        raise KiribiError(Code.NOT_FOUND, sentence, hint=f"there are: {', '.join(sorted(known))}")
