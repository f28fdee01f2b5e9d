"""The forms a value in jobs.toml can have: how each is read, what is said when it is wrong, and its JSON Schema.

A form returns the typed value or raises Wrong; tables report each key by itself, so that all problems come at once.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kiribi_cli.config.problems import NAMES_ITS_KEY, Problem, meant
from kiribi_cli.core import durations
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.errors import KiribiError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
Schema = dict[str, Any]
SKIPPED = object()


class Wrong(Exception):  # noqa: N818  (a finding, not a failure: it never leaves the reader)
    """A value that cannot be taken. `at`: further steps down to what is wrong."""

    def __init__(self, code: str, message: str, suggestion: str | None = None, at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.code, self.message, self.suggestion, self.at = code, message, suggestion, at


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file a value stands, and where its problems are put."""

    folder: Path
    file: str
    problems: list[Problem]
    path: tuple[str | int, ...] = ()

    def __truediv__(self, step: str | int) -> "Place":
        return Place(self.folder, self.file, self.problems, (*self.path, step))

    def error(
        self, code: str, message: str, suggestion: str | None = None, *, here_only: bool = False, at_key: bool = False
    ) -> None:
        """Put a problem here. `here_only`: it is one of this machine, not of the file. `at_key`: the key is wrong."""
        by_key = at_key or code in NAMES_ITS_KEY
        self.problems.append(
            Problem("error", code, self.path, message, suggestion, self.file, here_only=here_only, at_key=by_key)
        )

    def warning(self, code: str, message: str, suggestion: str | None = None) -> None:
        self.problems.append(Problem("warning", code, self.path, message, suggestion, self.file, here_only=True))

    def attempt(self, read: Callable[[Any, "Place"], Any], raw: Any) -> Any:
        """Read a value; put what is wrong with it here and return SKIPPED."""
        try:
            return read(raw, self)
        except Wrong as wrong:
            place = self
            for step in wrong.at:
                place = place / step
            place.error(wrong.code, wrong.message, wrong.suggestion)
            return SKIPPED


@dataclass(frozen=True, slots=True)
class Form:
    """How to read a value, and the JSON Schema of what may be written."""

    read: Callable[[Any, Place], Any]
    schema: Schema = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a table: the name of what it sets, its form, and for editors what it means."""

    sets: str
    form: Form
    help: str = ""
    required: bool = False


def read_table(raw: Any, place: Place, keys: Mapping[str, Key], *, also: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read the keys of a table, each problem on its own key. Unknown keys get a suggestion, `also` from these words."""
    if not isinstance(raw, dict):
        raise Wrong("bad_type", f"must be a table, got {noun(raw)}")
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in keys:
            (place / name).error("unknown_key", f'unknown key "{name}"', meant(name, (*keys, *also)))
            continue
        read = (place / name).attempt(keys[name].form.read, value)
        if read is not SKIPPED:
            values[keys[name].sets] = read
    for name, key in keys.items():
        if key.required and name not in raw:
            (place / name).error("missing_key", f'the key "{name}" is missing')  # stands where its table does
    return values


def table(keys: Mapping[str, Key], make: Callable[..., Any] = dict) -> Form:
    """A table with known keys, handed to `make` as keywords."""
    return Form(lambda raw, place: make(**read_table(raw, place, keys)), table_schema(keys))


def table_schema(keys: Mapping[str, Key]) -> Schema:
    properties = {
        name: {**key.form.schema, **({"description": key.help} if key.help else {})}
        for name, key in keys.items()
        if key.form.schema != {"not": {}}
    }
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    needed = [name for name, key in keys.items() if key.required]
    return {**schema, "required": needed} if needed else schema


def noun(raw: Any) -> str:
    """Name the TOML type of a value.

    >>> noun(True), noun(3), noun([])
    ('a boolean', 'an integer', 'an array')
    """
    names = ((bool, "a boolean"), (int, "an integer"), (float, "a float"), (str, "a string"), (list, "an array"))
    other = "a table" if isinstance(raw, dict) else "a time"
    return next((name for kind, name in names if isinstance(raw, kind)), other)


def string(raw: Any) -> str:
    """Take a string without NUL, which no argument, variable or path can hold."""
    if not isinstance(raw, str):
        raise Wrong("bad_type", f"must be a string, got {noun(raw)}")
    if "\0" in raw:
        raise Wrong("bad_range", "holds a NUL character")
    return raw


def text(*, longest: int | None = None, lines: bool = True) -> Form:
    def read(raw: Any, _: Place) -> str:
        value = string(raw)
        if longest is not None and len(value) > longest:
            raise Wrong("bad_range", f"is {len(value)} characters long, at most {longest} are allowed")
        if not lines and len(value.splitlines()) > 1:
            raise Wrong("bad_range", "must be one line")
        return value

    return Form(read, {"type": "string"} | ({"maxLength": longest} if longest else {}))


def name_of(what: str) -> Form:
    def read(raw: Any, _: Place) -> str:
        if not NAME.fullmatch(string(raw)):
            raise Wrong("bad_name", bad_name(what, raw))
        return str(raw)

    return Form(read, {"type": "string", "pattern": f"^{NAME.pattern}$"})


def bad_name(what: str, name: str) -> str:
    return f'"{name}" is no name for a {what}: a letter, then up to 63 letters, digits, _ or -'


def matching(pattern: str, code: str, message: str) -> Form:
    def read(raw: Any, _: Place) -> str:
        if not re.fullmatch(pattern, string(raw)):
            raise Wrong(code, f'"{raw}" {message}')
        return str(raw)

    return Form(read, {"type": "string", "pattern": f"^(?:{pattern})$"})


def boolean() -> Form:
    def read(raw: Any, _: Place) -> bool:
        if not isinstance(raw, bool):
            raise Wrong("bad_type", f"must be true or false, got {noun(raw)}")
        return raw

    return Form(read, {"type": "boolean"})


def choice(*words: str) -> Form:
    def read(raw: Any, _: Place) -> str:
        if string(raw) not in words:
            raise Wrong("bad_choice", f'must be {either(words)}, got "{raw}"', meant(raw, words))
        return str(raw)

    return Form(read, {"enum": list(words)})


def either(words: Iterable[str]) -> str:
    *first, last = (f'"{word}"' for word in words)
    return f"{', '.join(first)} or {last}" if first else last


def integer(low: int, high: int | None = None, *, none: bool = False) -> Form:
    def read(raw: Any, _: Place) -> int | None:
        if none and raw == "none":
            return None
        if isinstance(raw, bool) or not isinstance(raw, int):
            wanted = 'an integer or "none"' if none else "an integer"
            raise Wrong("bad_type", f"must be {wanted}, got {noun(raw)}")
        if raw < low or (high is not None and raw > high):
            limit = f"from {low} to {high}" if high is not None else f"at least {low}"
            raise Wrong("bad_range", f"must be {limit}, got {raw}")
        return raw

    number: Schema = {"type": "integer", "minimum": low} | ({"maximum": high} if high is not None else {})
    return Form(read, {"anyOf": [number, {"const": "none"}]} if none else number)


def number(low: float, high: float | None = None) -> Form:
    def read(raw: Any, _: Place) -> float:
        if isinstance(raw, bool) or not isinstance(raw, (int, float)):
            raise Wrong("bad_type", f"must be a number, got {noun(raw)}")
        if not low <= raw <= (high if high is not None else 1e9):
            limit = f"from {low:g} to {high:g}" if high is not None else f"at least {low:g}"
            raise Wrong("bad_range", f"must be {limit}, got {raw}")
        return float(raw)

    return Form(read, {"type": "number", "minimum": low} | ({"maximum": high} if high is not None else {}))


def duration(*, low: int = 0, high: int | None = None, never: str | None = None, zero: bool = True) -> Form:
    """Milliseconds; `never` is the word for no limit (None)."""

    def read(raw: Any, _: Place) -> int | None:
        if never is not None and raw == never:
            return None
        or_never = f' or "{never}"' if never else ""
        if isinstance(raw, (int, float)) and not isinstance(raw, bool):
            raise Wrong("bad_duration", f'must be a string with a unit, such as "90s"{or_never}, got {raw}', f"{raw}s")
        if not isinstance(raw, str):
            raise Wrong("bad_type", f"must be a duration{or_never}, got {noun(raw)}")
        try:
            value = durations.duration_ms(raw)
        except KiribiError as error:
            raise Wrong("bad_duration", f'{error.message}; write "90s", "2h30m" or "1d"{or_never}') from None
        if value == 0 and not zero:
            raise Wrong("bad_duration", "must be longer than 0" + (f'; "{never}" means no limit' if never else ""))
        if value < low or (high is not None and value > high):
            bounds = f"at least {durations.spell(low)}" + (f", at most {durations.spell(high)}" if high else "")
            raise Wrong("bad_range", f'must be {bounds}, got "{raw}"')
        return value

    pattern = r"^([0-9.]+w)?([0-9.]+d)?([0-9.]+h)?([0-9.]+m)?([0-9.]+s)?([0-9.]+ms)?$"
    words: Schema = {"type": "string", "pattern": pattern, "minLength": 2}
    return Form(read, {"anyOf": [words, {"const": never}]} if never else words)


def size(*, high: int | None = None) -> Form:
    """Bytes."""

    def read(raw: Any, _: Place) -> int:
        if isinstance(raw, (int, float)) and not isinstance(raw, bool):
            raise Wrong("bad_size", f'must be a string with a unit, such as "10MB", got {raw}')
        if not isinstance(raw, str):
            raise Wrong("bad_type", f"must be a size, got {noun(raw)}")
        try:
            value = durations.size_bytes(raw)
        except KiribiError as error:
            raise Wrong("bad_size", f'{error.message}; write "64KB", "10MiB" or "2GB"') from None
        if high is not None and value > high:
            raise Wrong("bad_range", f'must be at most {high // 1_048_576}MiB, got "{raw}"')
        return value

    return Form(read, {"type": "string", "pattern": r"^[0-9.]+ ?([kKmMgGtT]i?)?[bB]$"})


def array(element: Form, *, lone: bool = False, most: int | None = None, least: int = 0) -> Form:
    """A tuple of elements; with `lone` a single one may stand without brackets."""

    def read(raw: Any, place: Place) -> tuple[Any, ...]:
        if lone and isinstance(raw, str):
            return (element.read(raw, place),)
        if not isinstance(raw, list):
            raise Wrong("bad_type", f"must be an array, got {noun(raw)}")
        if most is not None and len(raw) > most:
            raise Wrong("bad_range", f"has {len(raw)} elements, at most {most} are allowed")
        if len(raw) < least:
            raise Wrong("bad_range", "must not be empty")
        values = [(place / index).attempt(element.read, item) for index, item in enumerate(raw)]
        return tuple(value for value in values if value is not SKIPPED)

    several: Schema = {"type": "array", "items": element.schema} | ({"minItems": least} if least else {})
    return Form(read, {"anyOf": [element.schema, several]} if lone else several)


def mapping(element: Form, key_pattern: str, what: str) -> Form:
    """A table whose keys the writer chooses."""

    def read(raw: Any, place: Place) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise Wrong("bad_type", f"must be a table, got {noun(raw)}")
        values = {}
        for name, value in raw.items():
            if not re.fullmatch(key_pattern, name):
                (place / name).error("bad_name", f'"{name}" is no name for {what}', at_key=True)
            elif (taken := (place / name).attempt(element.read, value)) is not SKIPPED:
                values[name] = taken
        return values

    names: Schema = {"pattern": f"^(?:{key_pattern})$"}
    return Form(read, {"type": "object", "additionalProperties": element.schema, "propertyNames": names})


def path(*, may_be_missing: bool = False) -> Form:
    """A path, made absolute from the folder of its file; links stay. With `may_be_missing` a leading "?" is kept."""

    def read(raw: Any, place: Place) -> str:
        optional = may_be_missing and string(raw).startswith("?")
        named = string(raw).removeprefix("?") if optional else string(raw)
        if not named:
            raise Wrong("bad_range", "must not be empty")
        return ("?" if optional else "") + absolute(place.folder, named)

    return Form(read, {"type": "string", "minLength": 1})


def absolute(folder: Path, named: str) -> str:
    import os

    # Not resolve(): a virtual environment's python is a link, and following it leaves the environment.
    return os.path.abspath(folder / named)  # noqa: PTH100


def later(what: str) -> Form:
    """A key of a later version: refused, never silently ignored. Replace it by its form when its part is built."""

    def read(_: Any, __: Place) -> Any:
        raise Wrong("unsupported", unsupported(what))

    return Form(read, {"not": {}})


def unsupported(what: str) -> str:
    from kiribi_cli import __version__

    version = ".".join(__version__.split(".")[:2])
    return f"{what} is not supported by this version of kiribi ({version}); it comes with a later one"
