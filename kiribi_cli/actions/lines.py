"""The lines of a batch: how they are read from a file or pipe, and what each of them asks for."""

from collections.abc import Callable, Iterator
from os import read
from select import POLLIN, poll
from typing import Any, BinaryIO

from kiribi_cli.actions.batch import Alike, Cook
from kiribi_cli.actions.enqueue import Maker, Recipe, Recipes
from kiribi_cli.actions.request import Request, later, usage
from kiribi_cli.core import payload as payloads
from kiribi_cli.core.job import NewJob
from kiribi_cli.core.records import replace

# A payload of the largest size that jobs.toml allows, and room for the rest of its line.
LINE_MAX = 20 * 1_048_576
_CHUNK = 262_144
# Lines of a slow producer are stored when it pauses this long, not when the transaction is full.
_PAUSE_MS = 200
# Recipes kept for lines that ask for the same.
_RECIPES = 256


def payload_lines(recipe: Recipe) -> Cook | Alike:
    """Each line is a payload of one definition."""
    if recipe.plan["unique"] is None:
        return Alike(recipe.bare, recipe.text, recipe.block_texts())

    def cook(now: int) -> Callable[[bytes], NewJob]:
        make, key = recipe.maker(now), recipe.key
        return lambda line: make(*recipe.parsed(line.strip(payloads.SPACE)), key)

    return cook


def object_lines(recipes: Recipes, base: Request) -> Cook:
    """Each line is an object with `job` or `command`; `base` holds what it does not say."""
    known: dict[str, Recipe] = {}

    def cook(now: int) -> Callable[[bytes], NewJob]:
        makers: dict[str, Maker] = {}

        def make(line: bytes) -> NewJob:
            text = line.strip(payloads.SPACE).decode("utf-8", "surrogateescape")
            wanted = payloads.parse(text, LINE_MAX, around=1)
            if not isinstance(wanted, dict):
                raise usage("this is no object", 'without JOB a line has "job" or "command"')
            payload = payloads.member(text, wanted, "payload") if "payload" in wanted else None
            value = wanted.pop("payload", None)
            key = _key_of(wanted)
            # The key of each line is another one; all else is mostly the same.
            same = repr(wanted)
            if same not in makers:
                if same not in known:
                    if len(known) >= _RECIPES:
                        known.clear()
                        makers.clear()
                    known[same] = recipes.of(line_request(wanted, base, keyed=key is not None))
                makers[same] = known[same].maker(now)
            if payload is not None:
                payloads.check_size(payload, known[same].definition.payload_max)
            return makers[same](payload, value, key if key is not None else base.unique)

        return make

    return cook


def _key_of(wanted: dict[str, Any]) -> str | None:
    if wanted.get("unique") is None:
        return None
    key = wanted["unique"]
    if not isinstance(key, str) or not key:
        raise usage('"unique" must be a string', '"unique": "KEY"')
    wanted["unique"] = True
    return key


_TEXTS = {
    "job": "job", "name": "name", "queue": "queue", "in": "delay", "at": "at", "while": "until", "timeout": "timeout",
    "on_conflict": "on_conflict", "expires": "expires", "backoff": "backoff", "cwd": "cwd",
}  # fmt: skip
# These may also be numbers of seconds.
_DURATIONS = {"in", "timeout", "expires", "while", "backoff"}
_LATER = {"mutex", "after", "after_failure", "after_finish"}


def line_request(wanted: dict[str, Any], base: Request, *, keyed: bool) -> Request:
    """Read the object of a line, its payload taken out; raises USAGE for what is not understood."""
    said: dict[str, Any] = {}
    for key, value in wanted.items():
        if value is None:
            continue
        if key in _LATER:
            raise later(f'"{key}"')
        if key in _TEXTS:
            said[_TEXTS[key]] = _text(key, value)
        elif key in ("priority", "max_attempts"):
            said[key] = _integer(key, value)
        elif key in ("command", "tags"):
            said[key] = _strings(key, value)
        elif key == "env":
            said[key] = _env(value)
        elif key != "unique":
            raise usage(f'"{payloads.shown(key)}" is no key of a line', "kiribi help payload")
    if ("job" in said) == ("command" in said):
        raise usage('a line needs either "job" or "command"', '{"job": "MyJob", "payload": {"user": 42}}')
    own = replace(base, env=(), cwd=None, name=None) if "job" in said else base
    if "delay" in said or "at" in said:
        own = replace(own, delay=None, at=None)
    if keyed:
        # Stands for whatever key each line brings.
        said["unique"] = "-"
    return replace(own, **said)


def _text(key: str, value: Any) -> str:
    if key in _DURATIONS and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise usage(f'"{key}" must be a string', f'"{key}": "..."')
    return value


def _integer(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise usage(f'"{key}" must be an integer', f'"{key}": 1')
    return value


def _strings(key: str, value: Any) -> tuple[str, ...]:
    if (
        not isinstance(value, list)
        or not all(isinstance(each, str) for each in value)
        or (key == "command" and not value)
    ):
        raise usage(f'"{key}" must be a list of strings', f'"{key}": ["...", "..."]')
    return tuple(value)


def _env(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return tuple(f"{name}={each}" for name, each in value.items())
    return _strings("env", value)


def read_lines(file: BinaryIO, stopped: Callable[[], bool]) -> Iterator[list[bytes]]:
    """Read a file or pipe in blocks of whole lines; an empty block when it pauses. Ends early once `stopped`.

    Raises USAGE for a line longer than LINE_MAX.
    """
    descriptor = file.fileno()
    waiter = poll()
    waiter.register(descriptor, POLLIN)
    # What has come of a line that has not ended: put together once, or a long one would be copied with every piece.
    begun: list[bytes] = []
    while not stopped():
        # Asking again and again keeps a signal from waiting behind a silent pipe.
        if not waiter.poll(_PAUSE_MS):
            yield []
            continue
        if not (chunk := read(descriptor, _CHUNK)):
            if rest := b"".join(begun):
                yield [rest]
            return
        if b"\n" not in chunk:
            begun.append(chunk)
        else:
            *lines, rest = b"".join([*begun, chunk]).split(b"\n")
            yield lines
            begun = [rest]
        if sum(map(len, begun)) > LINE_MAX:
            raise usage(f"a line is longer than {LINE_MAX:,} bytes", "one job is one line")
