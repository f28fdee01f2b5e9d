"""What commands that only look need to know of jobs.toml. Kept in the cache, so that they need not parse it."""

import marshal
from collections.abc import Mapping
from pathlib import Path

from kiribi_cli.config.model import Config, Logs
from kiribi_cli.core.records import dataclass


@dataclass(frozen=True, slots=True)
class Outlined:
    """Of a definition: which keys of its jobs are masked, and how many of them may run at once."""

    redact: tuple[str, ...]
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class Outline:
    """A Config boiled down. `queues`: how many jobs of each may run at once; `places`: only where its files are."""

    jobs: Mapping[str, Outlined]
    queues: Mapping[str, int | None]
    redact: tuple[str, ...]
    min_free: int
    durability: str
    places: Config


def outline_of(config: Config) -> Outline:
    """Boil a Config down."""
    return Outline(
        jobs={name: Outlined(one.redact, one.concurrency) for name, one in config.definitions.items()},
        queues={name: queue.concurrency for name, queue in config.queues.items()},
        redact=config.redact,
        min_free=config.worker.min_free,
        durability=config.durability,
        places=Config(path=config.path, db=config.db, logs=Logs(dir=config.logs.dir)),
    )


def kept(config: Config) -> bytes:
    """Write the outline of a Config as the cache holds it."""
    logs = None if config.logs.dir is None else str(config.logs.dir)
    # Most definitions mask what all do.
    jobs = {
        name: (None if one.redact == config.redact else one.redact, one.concurrency)
        for name, one in config.definitions.items()
    }
    queues = {name: queue.concurrency for name, queue in config.queues.items()}
    path = None if config.path is None else str(config.path)
    return marshal.dumps((
        jobs, queues, config.redact, config.worker.min_free, config.durability, path, config.db, logs
    ))  # fmt: skip


def outlined(content: bytes) -> Outline:
    """Read what `kept` wrote."""
    jobs, queues, redact, min_free, durability, path, db, logs = marshal.loads(content)  # noqa: S302  (our own)
    return Outline(
        jobs={name: Outlined(redact if own is None else own, concurrency) for name, (own, concurrency) in jobs.items()},
        queues=queues, redact=redact, min_free=min_free, durability=durability,
        places=Config(path=_path(path), db=db, logs=Logs(dir=_path(logs))),
    )  # fmt: skip


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
