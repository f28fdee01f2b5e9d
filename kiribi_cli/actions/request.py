"""What a person asks for when enqueueing, as typed, and how each word of it is read."""

import re
from collections.abc import Callable
from datetime import tzinfo
from typing import Any, Literal

from kiribi_cli.core import payload as payloads
from kiribi_cli.core.definition import Backoff, Definition, Exponential, Fixed, Listed, Unique
from kiribi_cli.core.durations import duration_ms, when_ms
from kiribi_cli.core.records import dataclass, replace
from kiribi_cli.errors import Code, KiribiError

_TAG = re.compile(r"[^\s,]{1,64}")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, but for the payload. Texts are as typed; None and () leave what the definition says.

    Exactly one of `job` and `command` is given. `env`: NAME or NAME=VALUE; `cwd`: the caller's folder (ad-hoc only).
    """

    job: str | None = None
    command: tuple[str, ...] = ()
    name: str | None = None
    queue: str | None = None
    priority: int | None = None
    tags: tuple[str, ...] = ()
    delay: str | None = None
    at: str | None = None
    max_attempts: int | None = None
    timeout: str | None = None
    expires: str | None = None
    backoff: str | None = None
    unique: str | None = None
    until: str | None = None
    on_conflict: str | None = None
    env: tuple[str, ...] = ()
    cwd: str | None = None


def changed(definition: Definition, request: Request) -> Definition:
    changes: dict[str, Any] = {}
    if request.priority is not None:
        changes["priority"] = _within("--priority", request.priority, -1000, 1000)
    if request.max_attempts is not None:
        changes["max_attempts"] = _within("--max-attempts", request.max_attempts, 1, 1000)
    if request.tags:
        changes["tags"] = _tags((*definition.tags, *request.tags))
    if request.timeout is not None:
        changes["timeout_ms"] = _limit("--timeout", request.timeout)
    if request.expires is not None:
        changes["expires_ms"] = _limit("--expires", request.expires)
    if request.backoff is not None:
        changes["backoff"] = read_backoff(request.backoff)
    if (unique := _unique(definition.unique, request)) is not definition.unique:
        changes["unique"] = unique
    return replace(definition, **changes) if changes else definition


def read_backoff(text: str) -> Backoff:
    """Read `--backoff`: `10s` fixed, `10s..1h` exponential, `10s,1m,5m` a list.

    >>> read_backoff("10s,1m")
    Listed(delays_ms=(10000, 60000))
    >>> read_backoff("10s..1h")
    Exponential(base_ms=10000, factor=2.0, max_ms=3600000, jitter=0.2)
    """
    if "," in text:
        return Listed(tuple(duration_ms(each, bare=True) for each in text.split(",")))
    base, dots, highest = text.partition("..")
    if not dots:
        return Fixed(duration_ms(base, bare=True))
    first_ms, highest_ms = duration_ms(base, bare=True), duration_ms(highest, bare=True)
    if highest_ms < first_ms:
        raise usage(f'--backoff "{payloads.shown(text)}": the longest wait is shorter than the first', "10s..1h")
    return Exponential(base_ms=first_ms, max_ms=highest_ms)


def _unique(defined: Unique | None, request: Request) -> Unique | None:
    if request.unique is None and request.until is None and request.on_conflict is None:
        return defined
    if request.unique is None and defined is None:
        option = "--while" if request.until is not None else "--on-conflict"
        raise usage(f"{option} needs a key: the definition is not unique", "--unique KEY")
    base = defined or Unique()
    return Unique(
        key=base.key,
        until=base.until if request.until is None else _until(request.until),
        on_conflict=base.on_conflict if request.on_conflict is None else _on_conflict(request.on_conflict),
    )


def _until(text: str) -> Literal["pending", "unfinished"] | int:
    if text == "pending":
        return "pending"
    if text == "unfinished":
        return "unfinished"
    try:
        return duration_ms(text, bare=True)
    except KiribiError:
        raise usage(f'--while: "{payloads.shown(text)}" is none of pending, unfinished, a duration', "1h") from None


def _on_conflict(text: str) -> Literal["skip", "error"]:
    if text == "skip":
        return "skip"
    if text == "error":
        return "error"
    if text == "replace":
        raise later("--on-conflict replace")
    raise usage(f'--on-conflict: "{payloads.shown(text)}" is neither skip nor error', "--on-conflict skip")


def later(what: str) -> KiribiError:
    """Refuse what cli.md promises for a later version. Call as `raise later(...)`."""
    return KiribiError(Code.USAGE, f"{what} is not supported by this version of kiribi; it comes with a later one")


def given_key(request: Request) -> str | None:
    if request.unique is None:
        return None
    if not request.unique:
        raise usage("--unique: the key is empty", "--unique KEY")
    try:
        request.unique.encode()
    except UnicodeEncodeError:
        raise usage("--unique: the key is not UTF-8", "--unique KEY") from None
    return request.unique


def when_of(request: Request, zone: tzinfo) -> Callable[[int], int | None]:
    if request.delay is not None and request.at is not None:
        raise usage("--in and --at cannot both be given", "--in 10m, or --at 02:30")
    if request.delay is not None:
        wait = duration_ms(request.delay, bare=True)
        return lambda now: now + wait
    if (at := request.at) is not None:
        when_ms(at, now_ms=0, zone=zone)
        return lambda now: when_ms(at, now_ms=now, zone=zone)
    return lambda now: None  # noqa: ARG005  (at once)


def checked_name(name: str) -> str:
    if not name or len(name) > 200 or not name.isprintable():
        raise usage(f'--name: "{payloads.shown(name)}" is no name for a job', "1 to 200 printable characters")
    return name


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    for tag in tags:
        if not _TAG.fullmatch(tag) or not tag.isprintable():
            raise usage(f'"{payloads.shown(tag)}" is no tag', "1 to 64 characters without space and comma")
    each_once = tuple(dict.fromkeys(tags))
    if len(each_once) > 20:
        raise usage(f"{len(each_once)} tags are too many", "20 at most")
    return each_once


def _limit(option: str, text: str) -> int | None:
    if text == "none":
        return None
    if not (ms := duration_ms(text, bare=True)):
        raise usage(f'{option} cannot be "{text}"', f'{option} none, or longer than nothing: "90s"')
    return ms


def _within(option: str, number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise usage(f"{option} is {number}, not within {least} to {most}", f"{option} {max(least, min(number, most))}")
    return number


def usage(sentence: str, hint: str) -> KiribiError:
    return KiribiError(Code.USAGE, sentence, hint=hint)
