"""Every setting in effect, in the words of jobs.toml, and where each comes from."""

from collections.abc import Iterator, Mapping
from typing import Any

from kiribi_cli.config import keys as known
from kiribi_cli.config.model import Config, Source
from kiribi_cli.config.positions import Position, locate
from kiribi_cli.core.definition import Definition, Exponential, Fixed, Listed, Unique
from kiribi_cli.core.durations import spell
from kiribi_cli.core.records import asdict, dataclass, is_dataclass

DEFAULT = "default"
_SIZES = frozenset({
    "min_free", "max_per_attempt", "total", "payload_max", "result_max", "log_max", "memory", "file_size", "disk_free",
})  # fmt: skip
# What stands for "no limit" where a key has a word of its own.
_NEVER = {"retention": "forever", "events": "forever"}
_BY_KIND = {
    "shell_bin": "shell", "interpreter": "python", "reuse": "python",
    "command": "command", "shell": "shell", "python": "python",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """One value in effect: `key` as in the file, `value` as one would write it, `origin`: file and line, or default."""

    key: str
    value: Any
    origin: str


class Origins:
    """Where keys stand, for all files that were read. Looks only into those that are asked about."""

    def __init__(self, config: Config) -> None:
        self._sources = config.sources
        self._places: dict[str, dict[tuple[str | int, ...], Position]] = {}

    def of(self, *path: str) -> str | None:
        """Name file and line of a key, None where no file has it."""
        for source in self._sources:
            if _holds(source.table, path):
                place = self._located(source).get(path)
                return f"{source.shown}:{place.key[0]}" if place else source.shown
        return None

    def _located(self, source: Source) -> dict[tuple[str | int, ...], Position]:
        if source.shown not in self._places:
            self._places[source.shown] = locate(source.text)
        return self._places[source.shown]


def settings(config: Config) -> Iterator[Setting]:
    """List the top-level settings in the order of the file's reference."""
    origins = Origins(config)

    def setting(value: Any, *path: str) -> Setting:
        return Setting(".".join(path), written(path[-1], value), origins.of(*path) or DEFAULT)

    yield setting(config.durability, "durability")
    yield setting(config.timezone, "timezone")
    yield setting(list(config.redact), "redact")
    for table, keys, held in (
        ("worker", known.WORKER, config.worker),
        ("logs", known.LOGS, config.logs),
        ("retention", known.RETENTION, config.retention),
    ):
        for key, rule in keys.items():
            value = getattr(held, rule.sets)
            yield setting(_NEVER.get(table) if value is None and table in _NEVER else value, table, key)
    yield setting("forever" if config.events_ms is None else spell(config.events_ms), "retention", "events")
    for name, queue in config.queues.items():
        yield setting(queue.concurrency, "queues", name, "concurrency")


def definition_settings(config: Config, definition: Definition) -> list[Setting]:
    """List every value of a definition in effect, the strongest layer that has it named as its origin."""
    origins = Origins(config)
    layers = config.layers(config.job_layers[definition.name], None)
    listed = []
    for key, rule in (known.DEFINITION | known.COMMON).items():
        if not hasattr(definition, rule.sets) or _BY_KIND.get(key, definition.kind) != definition.kind:
            continue
        if key in ("params", "payload_schema", "description"):
            continue
        value = written(key, getattr(definition, rule.sets))
        listed.append(Setting(key, value, _origin(key, rule.sets, definition.name, layers, origins)))
    return listed


def _origin(key: str, field: str, name: str, layers: list[tuple[str, Mapping[str, Any]]], origins: Origins) -> str:
    for label, layer in reversed(layers):
        if field not in layer:
            continue
        if label == "own":
            return origins.of("jobs", name, key) or origins.of("jobs", name) or DEFAULT
        if label == "[defaults]":
            return origins.of("defaults", key) or DEFAULT
        if label == "built-in":
            top = ("logs", "max_per_attempt") if key == "log_max" else (key,)
            return origins.of(*top) or DEFAULT
        return origins.of("queues", label[len("[queues.") : -1], key) or DEFAULT
    return DEFAULT


def written(key: str, value: Any) -> Any:
    """Write a value as it would stand in jobs.toml, as a value of JSON; None where nothing would.

    >>> written("timeout", 90_000), written("log_max", 10_485_760), written("umask", 0o27)
    ('1m30s', '10MiB', '027')
    """
    match value:
        case Fixed() | Exponential() | Listed():
            return backoff(value)
        case Unique(unique_key, until, on_conflict):
            period = until if isinstance(until, str) else spell(until)
            return {"key": unique_key, "while": period, "on_conflict": on_conflict}
        case bool():
            return value
        case int() if key == "umask":
            return f"{value:03o}"
        case int() if key in _SIZES:
            return size(value)
        case int() if key in _DURATIONS:
            return spell(value)
        case frozenset() | set():
            return sorted(value)
        case tuple() | list():
            return list(value)
        case Mapping():
            return {name: written(name, held) for name, held in value.items()}
        case _ if is_dataclass(value) and not isinstance(value, type):
            pairs = ((name.removesuffix("_ms"), held) for name, held in asdict(value).items())
            return {name: written(name, held) for name, held in pairs if held is not None}
        case None | str() | int() | float():
            return value
        case _:
            return str(value)


_DURATIONS = frozenset({
    "timeout", "expires", "kill_after", "drain_timeout", "poll", "lease", "compress_after", "cpu_time",
    "completed", "cancelled", "skipped", "failed", "events",
})  # fmt: skip


def backoff(value: Fixed | Exponential | Listed) -> Any:
    """Write a backoff as in jobs.toml.

    >>> backoff(Listed((10_000, 60_000)))
    ['10s', '1m']
    """
    match value:
        case Fixed(base, jitter):
            return {"kind": "fixed", "base": spell(base), "jitter": jitter}
        case Exponential(base, factor, highest, jitter):
            return {
                "kind": "exponential",
                "base": spell(base),
                "factor": factor,
                "max": spell(highest),
                "jitter": jitter,
            }
        case Listed(delays):
            return [spell(delay) for delay in delays]


def size(count: int) -> str:
    """Write bytes exactly, in the largest unit that divides them.

    >>> size(10_485_760), size(2_000_000_000), size(1_500), size(0)
    ('10MiB', '2GB', '1500B', '0B')
    """
    for power, letter in ((3, "G"), (2, "M"), (1, "K")):
        for base, unit in ((1024, f"{letter}iB"), (1000, f"{letter}B")):
            if count and count % base**power == 0:
                return f"{count // base**power}{unit}"
    return f"{count}B"


def _holds(table: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    value: Any = table
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return True
