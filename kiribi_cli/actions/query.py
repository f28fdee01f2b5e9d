"""Filters as people write them, options or the query language, made into one Filter (cli.md, 2).

Comma or repetition means or; different options mean and; words are joined by and.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Literal

from kiribi_cli.actions.jobs import not_known
from kiribi_cli.core.durations import when_ms
from kiribi_cli.core.job import ALIASES, Status, statuses_named
from kiribi_cli.core.records import dataclass, replace
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Filter, Store

KEYS = ("status", "job", "queue", "tag", "schedule", "flow", "worker", "origin", "since", "until", "error")
_FIELDS = {
    "status": "statuses", "job": "names", "queue": "queues", "tag": "tags", "worker": "workers", "origin": "origins",
    "error": "errors",
}  # fmt: skip
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Known:
    """The names that jobs.toml knows; the history knows more. Asked only when a name is to be looked up."""

    jobs: Callable[[], Iterable[str]]
    queues: Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading needs to know of the world."""

    now: int
    zone: Callable[[], tzinfo]
    store: Store
    known: Known


def read_filter(words: Sequence[str], options: Mapping[str, Any], reading: Reading) -> Filter:
    """Put words of the query language and filter options together.

    Raises USAGE for what cannot be read, NOT_FOUND for a job or queue that nobody knows.
    """
    queries = [word for text in options.get("query", ()) for word in _split(text)]
    found = Filter(time=_time(options.get("time")))
    for key in ("status", "job", "queue", "tag", "schedule", "flow", "worker"):
        values = tuple(item for text in options.get(key, ()) for item in _items(text))
        found = _with(found, key, values, reading) if values else found
    for key in ("since", "until"):
        if text := options.get(key):
            found = _with(found, key, (text,), reading)
    found = replace(
        found,
        where=(*found.where, *(_where(text) for text in options.get("where", ()))),
        grep=(*found.grep, *options.get("grep", ())),
    )
    for word in (*words, *queries):
        found = _with_word(found, word, reading)
    return found


def _with_word(found: Filter, word: str, reading: Reading) -> Filter:
    if word.startswith("-") and len(word) > 1:
        negated = _with_word(Filter(), word[1:], reading)
        return replace(found, excluded=(*found.excluded, negated))
    key, colon, value = word.partition(":")
    if colon and key in KEYS:
        if not value:
            raise KiribiError(Code.USAGE, f'"{word}" names nothing', hint="kiribi help queries")
        return _and(found, key, tuple(_items(value)) if key not in ("since", "until") else (value,), reading)
    if colon and key.startswith("payload."):
        return replace(found, where=(*found.where, (key.removeprefix("payload."), value)))
    if (statuses := _bare_status(word)) is not None:
        return _and(found, "status", (word,), reading) if statuses else found
    return replace(found, grep=(*found.grep, word))


def _and(found: Filter, key: str, values: tuple[str, ...], reading: Reading) -> Filter:
    """Join by and: two words of one key must both hold, which for single-valued fields is their intersection."""
    narrowed = _with(Filter(), key, values, reading)
    field = _FIELDS.get(key)
    before = getattr(found, field) if field else ()
    if not before or field is None:
        return _with(found, key, values, reading)
    if key == "status":
        both = tuple(status for status in found.statuses if status in narrowed.statuses)
        return replace(found, statuses=both, ids=found.ids if both else ())
    # For tags and globs there is no intersection to write down: what is not (not both) is both.
    return replace(found, excluded=(*found.excluded, Filter(excluded=(narrowed,))))


def _with(found: Filter, key: str, values: tuple[str, ...], reading: Reading) -> Filter:
    match key:
        case "status":
            return replace(found, statuses=(*found.statuses, *(s for value in values for s in _statuses(value))))
        case "job":
            return replace(found, names=(*found.names, *(_known_job(value, reading) for value in values)))
        case "queue":
            return replace(found, queues=(*found.queues, *(_known_queue(value, reading) for value in values)))
        case "since" | "until":
            at = when_ms(values[0], now_ms=reading.now, zone=reading.zone(), past=True)
            return replace(found, since=at) if key == "since" else replace(found, until=at)
        case "schedule" | "flow":
            raise KiribiError(Code.USAGE, f"kiribi has no {key}s yet, so there is nothing to choose by --{key}")
        case _:
            field = _FIELDS[key]
            kept = getattr(found, field)
            added: Any = {field: (*kept, *values)}
            return replace(found, **added)


def _statuses(word: str) -> tuple[Status, ...]:
    try:
        return statuses_named(word)
    except ValueError:
        raise _no_status(word) from None


def _no_status(word: str) -> KiribiError:
    from difflib import get_close_matches

    words = [*(str(status) for status in Status), *ALIASES]
    near = get_close_matches(word.lower(), words, n=1)
    did_you = f'. Did you mean "{near[0]}"?' if near else ""
    return KiribiError(Code.USAGE, f'"{word}" is not a status{did_you}', hint=f"one of: {', '.join(words)}")


def _bare_status(word: str) -> tuple[Status, ...] | None:
    try:
        return statuses_named(word)
    except ValueError:
        return None


def _known_job(name: str, reading: Reading) -> str:
    if _GLOB & set(name) or reading.store.latest(name) is not None:
        return name
    known = {*reading.known.jobs(), *reading.store.names()}
    if name in known:
        return name
    raise not_known("job", name, sorted(known), f'no job "{name}" in jobs.toml or in the history')


def _known_queue(name: str, reading: Reading) -> str:
    if name == "default" or reading.store.has_queue(name):
        return name
    known = {"default", *reading.known.queues(), *reading.store.queues()}
    if name in known:
        return name
    raise not_known("queue", name, sorted(known), f'no queue "{name}" in jobs.toml or in the history')


def _where(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    path = path.removeprefix("payload.")
    if not equals or not path:
        raise KiribiError(Code.USAGE, f'--where "{text}" is not PATH=VALUE', hint="--where user.id=42")
    return path, value


def _time(word: str | None) -> Literal["created", "started", "finished"]:
    match word:
        case None | "created":
            return "created"
        case "started":
            return "started"
        case "finished":
            return "finished"
        case _:
            raise KiribiError(Code.USAGE, f'--time is "{word}"', hint="write created, started or finished")


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise KiribiError(Code.USAGE, f"--query cannot be read: {error}", hint="kiribi help queries") from error
