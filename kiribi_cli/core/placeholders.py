"""Placeholders: where they stand in a text, and what the text says once they are filled in (jobs-toml.md, 6).

One pass, no defaults, no expressions: `{payload.user}`, `{job.id}`, `{payload.files...}`. All other braces are plain
text, and `{{payload.user}}` is the literal `{payload.user}`. Nothing here ever meets a shell.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kiribi_cli.core.records import dataclass

NAMESPACES = ("payload", "job", "schedule", "steps", "item", "env")

_BODY = rf"(?:{'|'.join(NAMESPACES)})(?:\.[A-Za-z0-9_-]+)*(?:\.\.\.)?"
# The doubled form first: at the same place it wins over the single one inside it.
_PATTERN = re.compile(rf"\{{\{{(?P<literal>{_BODY})\}}\}}|\{{(?P<body>{_BODY})\}}")
# An index as people write it: "007" is a key, and "1_0" and "²" are no numbers.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One placeholder of a text, at text[start:end]. `spread` is the form with three dots."""

    start: int
    end: int
    namespace: str
    path: tuple[str, ...]
    spread: bool = False

    def __str__(self) -> str:
        """Write it as it stands in the text.

        >>> str(find("x{payload.files...}")[0])
        '{payload.files...}'
        """
        return "{" + ".".join((self.namespace, *self.path)) + ("..." if self.spread else "") + "}"


class MissingValueError(Exception):
    """A placeholder cannot be filled in; `reason` is a sentence for a person."""

    def __init__(self, placeholder: Placeholder, reason: str) -> None:
        super().__init__(reason)
        self.placeholder = placeholder
        self.reason = reason


def find(text: str) -> list[Placeholder]:
    """List the placeholders of a text, in order.

    >>> [(p.namespace, p.path) for p in find("{payload.a.0} {job.id} {} {print $1} {{payload.b}}")]
    [('payload', ('a', '0')), ('job', ('id',))]
    """
    return [_placeholder(match) for match in _PATTERN.finditer(text) if match["body"] is not None]


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Fill in a text; `values` maps a namespace to its value. Raises MissingValueError.

    >>> fill("{payload.w}x{payload.h} {payload.on} {payload.l}", {"payload": {"w": 8, "h": 0.5, "on": True, "l": [1]}})
    '8x0.5 true [1]'
    >>> fill("{{payload.x}} {{.Names}} {payload}", {"payload": "{payload}"})
    '{payload.x} {{.Names}} {payload}'
    """
    if "{" not in template:
        return template
    parts: list[str] = []
    end = 0
    for match in _PATTERN.finditer(template):
        parts.append(template[end : match.start()])
        parts.append(_replacement(match, values))
        end = match.end()
    parts.append(template[end:])
    return "".join(parts)


def fill_argv(argv: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """Fill in the elements of a command. One element stays one argument, but `{payload.list...}` gives one per item.

    >>> fill_argv(["cp", "--", "{payload.files...}", "{payload.to}"], {"payload": {"files": ["a b", 2], "to": "-x"}})
    ['cp', '--', 'a b', '2', '-x']
    >>> fill_argv(["rm", "{payload...}"], {"payload": []})
    ['rm']
    """
    filled: list[str] = []
    for element in argv:
        spread = whole(element)
        if spread is not None and spread.spread:
            filled.extend(_items(spread, values))
        else:
            filled.append(fill(element, values))
    return filled


def fill_value(value: Any, values: Mapping[str, Any]) -> Any:
    """Fill in the strings of a JSON value; a string that is one placeholder takes over the value with its type.

    >>> fill_value({"a": "{payload.n}", "b": ["n={payload.n}"]}, {"payload": {"n": 3}})
    {'a': 3, 'b': ['n=3']}
    """
    if isinstance(value, str):
        single = whole(value)
        return fill(value, values) if single is None else resolve(single, values)
    if isinstance(value, dict):
        return {key: fill_value(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_value(item, values) for item in value]
    return value


def whole(text: str) -> Placeholder | None:
    """Give the placeholder that makes up the whole text, if one does.

    >>> whole("{item}"), whole("{item} "), whole("{{item}}")
    (Placeholder(start=0, end=6, namespace='item', path=(), spread=False), None, None)
    """
    match = _PATTERN.fullmatch(text) if text.startswith("{") else None
    return None if match is None or match["body"] is None else _placeholder(match)


def resolve(placeholder: Placeholder, values: Mapping[str, Any]) -> Any:
    """Look the value up. Raises MissingValueError where there is none, or null.

    >>> resolve(find("{payload.rows.1.id}")[0], {"payload": {"rows": [{}, {"id": 7}]}})
    7
    """
    value = values.get(placeholder.namespace)
    for depth, key in enumerate(placeholder.path):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | tuple) and _INDEX.fullmatch(key):
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = None
        if value is None:
            where = ".".join((placeholder.namespace, *placeholder.path[: depth + 1]))
            raise MissingValueError(placeholder, f"{placeholder} has no value: {where} is missing or null")
    if value is None:
        raise MissingValueError(placeholder, f"{placeholder} has no value: there is no {placeholder.namespace}")
    return value


def text_of(value: Any) -> str:
    """Write a value as it appears in an argument: strings as they are, anything else as compact JSON.

    >>> text_of("a b"), text_of(False), text_of({"ä": [1, None]})
    ('a b', 'false', '{"ä":[1,null]}')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _placeholder(match: re.Match[str]) -> Placeholder:
    body = match["body"]
    spread = body.endswith("...")
    namespace, *path = body.removesuffix("...").split(".")
    return Placeholder(match.start(), match.end(), namespace, tuple(path), spread)


def _replacement(match: re.Match[str], values: Mapping[str, Any]) -> str:
    if match["literal"] is not None:
        return "{" + match["literal"] + "}"
    placeholder = _placeholder(match)
    if placeholder.spread:
        raise MissingValueError(placeholder, f"{placeholder} can only be a whole element of a command")
    return text_of(resolve(placeholder, values))


def _items(placeholder: Placeholder, values: Mapping[str, Any]) -> list[str]:
    value = resolve(placeholder, values)
    if not isinstance(value, list | tuple):
        raise MissingValueError(placeholder, f"{placeholder} needs a list")
    for item in value:
        if item is None or isinstance(item, list | tuple | Mapping):
            raise MissingValueError(placeholder, f"{placeholder} needs a list of strings, numbers and booleans")
    return [text_of(item) for item in value]
