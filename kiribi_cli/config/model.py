"""What jobs.toml says, as values. A definition is built from layers; here is the order in which they win.

The rules are those of jobs-toml.md, section 5.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

from kiribi_cli.core.definition import Definition, Limits, Retention
from kiribi_cli.core.records import dataclass, field, replace

# One table of settings, typed: fields of Definition to values. `env`, `limits` and `retention` are mappings themselves.
Layer = Mapping[str, Any]

# What changes when a file or folder does: device, inode, size, mtime_ns, ctime_ns.
Stamp = tuple[int, int, int, int, int]

EMPTY: Layer = MappingProxyType({})
MERGED = ("env", "limits", "retention")
BUILT_IN_FAIL_CODES = frozenset({64, 65, 77, 78})
SNOOZE_CODE = 75
DEFAULT_REDACT = ("*password*", "*passwd*", "*secret*", "*token*", "*api_key*", "*apikey*")


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was read: its path, its text (for line numbers) and its parsed table."""

    path: Path
    text: str
    table: dict[str, Any]
    # As people see it in messages: relative to the folder of the main file.
    shown: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue. `concurrency` None: no limit. `settings` are the defaults for its jobs."""

    name: str
    concurrency: int | None = None
    settings: Layer = field(default_factory=dict)
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Worker:
    """`concurrency` None: the number of CPUs."""

    concurrency: int | None = None
    drain_timeout_ms: int = 30_000
    poll_ms: int = 1_000
    lease_ms: int = 60_000
    min_free: int = 100_000_000


@dataclass(frozen=True, slots=True)
class Logs:
    """`dir` None: beside the database. `compress_after_ms` None: never."""

    dir: Path | None = None
    max_per_attempt: int = 10 * 1_048_576
    total: int = 2_000_000_000
    compress_after_ms: int | None = 3_600_000


@dataclass(frozen=True, slots=True)
class Web:
    host: str = "127.0.0.1"
    port: int = 7878
    read_only: bool = False
    base_path: str = "/"
    allow_hosts: tuple[str, ...] = ()
    token_file: Path | None = None
    users_file: Path | None = None


@dataclass(frozen=True, slots=True)
class FailureRate:
    window_ms: int = 3_600_000
    min_jobs: int = 10
    warning: float = 0.05
    critical: float = 0.25


@dataclass(frozen=True, slots=True)
class Health:
    """Pairs are (warning, critical). `expect`: name to the longest time without a completed job."""

    expect: Mapping[str, int] = field(default_factory=dict)
    schedule_late: Literal["critical", "warning", "none"] = "critical"
    no_worker_ms: int | None = 600_000
    oldest_pending_ms: tuple[int, int] = (300_000, 1_800_000)
    failure_rate: FailureRate = FailureRate()
    disk_free: tuple[int, int] = (1_000_000_000, 200_000_000)


@dataclass(frozen=True, slots=True)
class Config:
    """All of jobs.toml and the files it includes, every default in effect. `path` None: there is no jobs.toml.

    `db` is what the file says: an absolute path, a URL, or None for `.kiribi/kiribi.db` beside it. `timezone` None:
    the zone of the machine. `events_ms` None: events are kept for ever. `job_layers` holds what each [jobs.NAME] sets.
    """

    path: Path | None = None
    sources: tuple[Source, ...] = ()
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    queues: Mapping[str, Queue] = field(default_factory=lambda: with_standing_queues({}))
    worker: Worker = Worker()
    logs: Logs = Logs()
    retention: Retention = Retention()
    events_ms: int | None = 7 * 86_400_000
    redact: tuple[str, ...] = DEFAULT_REDACT
    db: str | None = None
    durability: Literal["full", "normal"] = "full"
    timezone: str | None = None
    web: Web = Web()
    health: Health = field(default_factory=Health)
    defaults: Layer = field(default_factory=dict)
    job_layers: Mapping[str, Layer] = field(default_factory=dict)
    # Every file and folder that was looked at, with its stamp from before it was read (None: it was not there).
    inputs: Mapping[str, "Stamp | None"] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files this was read from, the main one first."""
        return tuple(source.path for source in self.sources)

    def adhoc(self, name: str, argv: Sequence[str], cwd: str) -> Definition:
        """Define a command line: [defaults] but for `max_attempts` (1) and `cwd` (the caller's); argv is literal.

        A queue's max_attempts does not reach it either: nobody who types a command expects it to run twice.
        """
        own = {"command": tuple(argv), "cwd": cwd, "max_attempts": 1}
        return replace(self._built(name, "command", own, queue=None), adhoc=True)

    def effective(self, definition: Definition, queue: str) -> Definition:
        """Move a definition to another queue: the queue is settled first, then its defaults apply."""
        if definition.adhoc:
            own: Layer = {"command": definition.command, "cwd": definition.cwd, "max_attempts": 1}
            return replace(self._built(definition.name, "command", own, queue=queue), adhoc=True)
        return self._built(definition.name, definition.kind, self.job_layers[definition.name], queue=queue)

    def definition(self, name: str, kind: str) -> Definition:
        """Build a definition from the layers, in its own queue."""
        return self._built(name, kind, self.job_layers[name], queue=None)

    def layers(self, own: Layer, queue: str | None) -> list[tuple[str, Layer]]:
        """Name the layers of a definition, weakest first: "built-in", "[defaults]", "[queues.X]", "own"."""
        name = queue or own.get("queue") or self.defaults.get("queue") or "default"
        settled = {"queue": name} if queue else {}
        shared = {"retention": vars_of(self.retention), "log_max": self.logs.max_per_attempt}
        queue_settings = self.queues[name].settings if name in self.queues else EMPTY
        return [
            ("built-in", shared),
            ("[defaults]", self.defaults),
            (f"[queues.{name}]", queue_settings),
            ("own", {**own, **settled}),
        ]

    def _built(self, name: str, kind: str, own: Layer, *, queue: str | None) -> Definition:
        return build(name, kind, [layer for _, layer in self.layers(own, queue)], self.redact)


def build(name: str, kind: str, layers: Sequence[Layer], redact: tuple[str, ...]) -> Definition:
    """Lay settings over each other, later ones winning, and make the definition."""
    values = merged(layers)
    values["limits"] = Limits(**values.get("limits", {}))
    values["retention"] = Retention(**values.get("retention", {}))
    values["redact"] = redact + tuple(p for p in values.get("redact", ()) if p not in redact)
    if kind == "python":
        # The return value is the result; [defaults] may have said "stdout" for the commands.
        values["result"] = "none" if values.get("result") == "none" else "file"
    values |= _codes(values)
    return Definition(name=name, kind=cast(Literal["command", "shell", "python"], kind), **values)


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """Merge layers: `env`, `limits` and `retention` key by key, everything else whole.

    >>> merged([{"env": {"A": "1"}, "tags": ("a",)}, {"env": {"B": "2"}, "tags": ("b",)}])
    {'env': {'A': '1', 'B': '2'}, 'tags': ('b',)}
    """
    values: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            values[key] = {**values.get(key, {}), **value} if key in MERGED else value
    return values


def _codes(values: Mapping[str, Any]) -> dict[str, Any]:
    named = [values.get(key) for key in ("success_codes", "retry_codes", "fail_codes")]
    listed = frozenset[int]().union(*(codes for codes in named if codes))
    codes: dict[str, Any] = {"snooze_code": None if SNOOZE_CODE in listed else SNOOZE_CODE}
    if values.get("fail_codes") is None:
        codes["fail_codes"] = BUILT_IN_FAIL_CODES - listed
    return codes


def vars_of(value: Retention) -> dict[str, Any]:
    """Spread a frozen value into a mapping of its fields."""
    return {name: getattr(value, name) for name in value.__slots__}


def with_standing_queues(declared: Mapping[str, Queue]) -> dict[str, Queue]:
    """Add the queues that always exist."""
    return {"default": Queue("default"), "hooks": Queue("hooks", concurrency=4), **declared}
