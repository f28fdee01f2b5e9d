"""Which peers there are, what each needs, and how it is set up. Defaults where not said otherwise; durable where it can be."""

from collections.abc import Callable, Sequence

from tests.bench.peers.peer import Kind

_REDIS = "redis with appendfsync always"
_POSTGRES = "PostgreSQL, fsync on"


def _one_program(*argv: str) -> Callable[[int], Sequence[Sequence[str]]]:
    """A program that starts its own children: `{slots}` stands for how many."""
    return lambda slots: [[word.replace("{slots}", str(slots)) for word in argv]]


def _each(*argv: str) -> Callable[[int], Sequence[Sequence[str]]]:
    """One process for every slot."""
    return lambda slots: [argv] * slots


_HUEY = _one_program("huey_consumer", "jobs.huey", "-w", "{slots}", "-k", "process", "-q")

SCRIPTED = [
    Kind(
        "huey",
        "SQLite, fsync=True, process workers",
        "huey_jobs.py",
        frozenset({"enqueue", "loop", "drain", "callables", "bulk", "latency"}),
        ("huey",),
        _HUEY,
        settings={"HUEY_FSYNC": "1"},
    ),
    Kind(
        "huey, no fsync",
        "SQLite, fsync=False: not durable",
        "huey_jobs.py",
        frozenset({"drain", "callables"}),
        ("huey",),
        _HUEY,
        settings={"HUEY_FSYNC": "0"},
        pace=5,
    ),
    Kind(
        "litequeue",
        "SQLite, synchronous=NORMAL (fixed): not durable; the worker is a loop of pop and done",
        "litequeue_jobs.py",
        frozenset({"enqueue", "loop", "drain", "bulk"}),
        ("litequeue",),
        _each("python", "-c", "import jobs; jobs.work('run_true')"),
        pace=20,
    ),
    Kind(
        "RQ",
        f"{_REDIS}; a fork per job, its default",
        "rq_jobs.py",
        frozenset({"enqueue", "loop", "drain", "callables", "idle"}),
        ("rq", "redis"),
        _one_program("rq", "worker-pool", "-q", "-n", "{slots}"),
        server="redis",
    ),
    Kind(
        "Celery",
        f"{_REDIS}; prefork, early acknowledgement, its defaults",
        "celery_jobs.py",
        frozenset({"enqueue", "loop", "drain", "callables", "latency"}),
        ("celery[redis]",),
        _one_program("celery", "-A", "jobs", "worker", "-c", "{slots}", "--loglevel", "ERROR"),
        server="redis",
    ),
    Kind(
        "dramatiq",
        f"{_REDIS}",
        "dramatiq_jobs.py",
        frozenset({"enqueue"}),
        ("dramatiq[redis]",),
        _one_program("dramatiq", "jobs", "-p", "{slots}", "-t", "1"),
        server="redis",
    ),
    Kind(
        "procrastinate",
        f"{_POSTGRES}",
        "procrastinate_jobs.py",
        frozenset({"enqueue"}),
        ("procrastinate", "psycopg[binary]"),
        _one_program("procrastinate", "--app", "jobs.app", "worker", "-c", "{slots}"),
        server="postgres",
    ),
    Kind(
        "pgqueuer",
        f"{_POSTGRES}; batches of 100",
        "pgqueuer_jobs.py",
        frozenset({"callables", "bulk"}),
        ("pgqueuer", "psycopg[binary]"),
        _each("python", "-c", "import jobs; jobs.work()"),
        server="postgres",
        pace=20,
    ),
    Kind(
        "taskiq",
        f"{_REDIS}; ListQueueBroker",
        "taskiq_jobs.py",
        frozenset({"latency", "idle"}),
        ("taskiq", "taskiq-redis"),
        _one_program("taskiq", "worker", "jobs:broker", "-w", "{slots}", "--log-level", "ERROR"),
        server="redis",
    ),
    Kind(
        "plainjob (node)",
        "SQLite, synchronous=NORMAL (fixed): not durable",
        "plainjob_jobs.mjs",
        frozenset({"enqueue", "callables", "bulk"}),
        ("plainjob", "better-sqlite3"),
        _each("node", "jobs.mjs", "work"),
        pace=5,
    ),
    Kind(
        "bullmq (node)",
        f"{_REDIS}",
        "bullmq_jobs.mjs",
        frozenset({"latency"}),
        ("bullmq", "ioredis"),
        lambda _slots: [["node", "jobs.mjs", "work"]],
        server="redis",
    ),
]

# Programs -> Debian packages.
SERVERS = {
    "redis": {"redis-server": "redis-server", "redis-cli": "redis-tools"},
    "postgres": {"postgres": "postgresql", "initdb": "postgresql"},
}
