"""The common forms of every command line, read without Typer, which alone costs more than most commands do.

Whatever is rare, wrong or wants help is answered with None before anything is done; then command.py reads it from the
beginning. A property test holds the two equal.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, get_args

from kiribi_cli.cli.declared import (
    AFTER,
    FILTER_OPTIONS,
    FILTERS,
    GLOBAL_OPTIONS,
    GLOBALS,
    Argument,
    Context,
    Option,
    Shared,
    collect,
)

_OF_ANNOTATION: Mapping[Any, str] = {
    bool: "flag", str: "text", str | None: "text", int: "number", int | None: "number",
    list[str]: "many", list[str] | None: "many",
}  # fmt: skip


class Call:
    """A command line that was read: what to call, and the context for it."""

    def __init__(
        self, name: str, function: Callable[..., Any], arguments: dict[str, Any], meta: dict[str, Any]
    ) -> None:
        self.name = name
        self.function = function
        self.arguments = arguments
        self.meta = meta

    def __call__(self) -> Any:
        return self.function(self, **self.arguments)


class _NotPlainError(Exception):
    """Only Typer can tell what to do."""


class _Known:
    """An option that may come: what kind of value it takes, and what it is called. `shared`: one of many commands."""

    def __init__(
        self, kind: str, name: str, *, told: Mapping[str, Any] = {}, place: str = "", shared: Shared | None = None
    ) -> None:
        self.kind = kind
        self.name = name
        self.told = told
        self.place = place
        self.shared = shared


# In the order in which each was first given, which is the order in which Click hands them on.
_Given = dict[_Known, list[Any]]


def read(words: Sequence[str], commands: Mapping[str, Any], aliases: Mapping[str, str]) -> Call | None:
    """Read a command line (without the program's name); None where Typer has to do it."""
    meta: dict[str, Any] = {}
    left = list(reversed(words))
    try:
        name, where = _command(left, commands, aliases, meta)
        function = function_at(where)
        return Call(name, function, _arguments(function, left, meta), meta)
    except _NotPlainError:
        return None
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("kiribi_cli.cli."):
            raise
        return None


def function_at(where: str) -> Any:
    """Import "module:function"."""
    module, _, function = where.partition(":")
    return getattr(import_module(f"kiribi_cli.cli.{module}"), function)


def _command(
    left: list[str], table: Mapping[str, Any], aliases: Mapping[str, str], meta: dict[str, Any]
) -> tuple[str, str]:
    """Take global options and the name of a command, or of a group and a command of it."""
    known = _shared(GLOBALS, GLOBAL_OPTIONS)
    given: _Given = {}
    while left:
        word = left.pop()
        if word[:1] == "-":
            _take(word, left, known, given)
            continue
        _hand_on(given, meta)
        where = table.get(aliases.get(word, word))
        if isinstance(where, str):
            return word, where
        if where is None:
            break
        return _command(left, where["commands"], {}, meta)
    raise _NotPlainError


def _arguments(function: Any, left: list[str], meta: dict[str, Any]) -> dict[str, Any]:
    """Take the options and arguments of one command."""
    annotations = dict(function.__annotations__)
    if annotations.pop("ctx", None) != Context:
        raise _NotPlainError
    # Of each: its type, and what is said of it.
    own = {name: get_args(told) for name, told in annotations.items() if name != "return"}
    known = _own(own)
    if getattr(function, "filtered", False):
        known |= _shared(FILTERS, FILTER_OPTIONS)
    known |= _shared(GLOBALS, GLOBAL_OPTIONS)
    given, words = _sorted(left, known, meta)
    places = {name: kind for name, (kind, said) in own.items() if isinstance(said, Argument)}
    found = {**_placed(words, places), **_hand_on(given, meta)}
    if not _required(function) <= found.keys():
        raise _NotPlainError
    return found


def _sorted(left: list[str], known: Mapping[str, _Known], meta: dict[str, Any]) -> tuple[_Given, list[str]]:
    """Tell options and other words apart, up to `--`."""
    given: _Given = {}
    words: list[str] = []
    while left:
        word = left.pop()
        if word == "--":
            left.reverse()
            meta[AFTER] = tuple(left)
            return given, words + left
        if word[:1] == "-" and word != "-":
            _take(word, left, known, given)
        else:
            words.append(word)
    return given, words


def _take(word: str, left: list[str], known: Mapping[str, _Known], given: _Given) -> None:
    name, equals, value = word.partition("=") if word[:2] == "--" else (word, "", "")
    option = known.get(name)
    if option is None:
        raise _NotPlainError
    if option.kind not in ("flag", "count") and not equals:
        if not left or (left[-1][:1] == "-" and left[-1] != "-"):
            raise _NotPlainError
        value = left.pop()
    elif equals and option.kind in ("flag", "count"):
        raise _NotPlainError
    values = given.setdefault(option, [])
    if values and option.kind not in ("count", "many"):
        raise _NotPlainError
    values.append(_number(value, option.told) if option.kind == "number" else value)


def _number(word: str, told: Mapping[str, Any]) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 16):
        raise _NotPlainError
    number = int(word)
    if not told.get("min", 0) <= number <= told.get("max", number):
        raise _NotPlainError
    return number


def _hand_on(given: _Given, meta: dict[str, Any]) -> dict[str, Any]:
    """Put shared options into `meta`, and answer the others by name."""
    own = {}
    for option, values in given.items():
        value: Any = {"flag": True, "count": len(values), "many": values}.get(option.kind, values[0])
        if option.shared is None:
            own[option.name] = value
        else:
            collect(meta, option.place, option.shared, tuple(value) if option.kind == "many" else value)
    return own


def _placed(words: list[str], places: Mapping[str, Any]) -> dict[str, Any]:
    """Give words that are no options to the arguments: each one, the last all that are left if it takes many."""
    found: dict[str, Any] = {}
    for number, (name, kind) in enumerate(places.items(), 1):
        if _OF_ANNOTATION.get(kind) == "many" and number == len(places):
            return found | ({name: words} if words else {})
        if _OF_ANNOTATION.get(kind) != "text":
            raise _NotPlainError
        if words:
            found[name] = words.pop(0)
    if words:
        raise _NotPlainError
    return found


def _required(function: Any) -> set[str]:
    """Name the parameters without a default; the first of all is the context."""
    code = function.__code__
    positional = code.co_varnames[1 : code.co_argcount]
    keyword = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    optional = positional[len(positional) - len(function.__defaults__ or ()) :]
    return {*positional, *keyword} - {*optional, *(function.__kwdefaults__ or ())}


def _own(own: Mapping[str, tuple[Any, ...]]) -> dict[str, _Known]:
    known: dict[str, _Known] = {}
    for name, (kind, said) in own.items():
        if isinstance(said, Option):
            known |= dict.fromkeys(said.names, _Known(_OF_ANNOTATION[kind], name, told=said.told))
    return known


def _shared(place: str, options: Iterable[Shared]) -> dict[str, _Known]:
    known: dict[str, _Known] = {}
    for option in options:
        kind = "count" if option.count else "flag" if option.metavar is None else "many" if option.many else "text"
        known |= dict.fromkeys(option.names, _Known(kind, option.word, place=place, shared=option))
    return known
