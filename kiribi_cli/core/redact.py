"""Masking what is named in `redact`: keys of payload, result and env at any depth and in any case, or dotted paths."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

MASK = "***"


def redacted(value: Any, patterns: Sequence[str], *, root: str = "") -> Any:
    """Return the value with everything that a pattern names replaced by `***`. `root`: how its path begins ("payload").

    >>> redacted({"user": 7, "db": {"Password": "x"}}, ["*password*"])
    {'user': 7, 'db': {'Password': '***'}}
    >>> redacted({"card": {"no": 1}, "no": 2}, ["payload.card.*"], root="payload")
    {'card': {'no': '***'}, 'no': 2}
    """
    lowered = [pattern.lower() for pattern in patterns]
    if not lowered:
        return value
    return _walk(value, [p for p in lowered if "." not in p], [p for p in lowered if "." in p], root)


def _walk(value: Any, keys: Sequence[str], paths: Sequence[str], path: str) -> Any:
    match value:
        case dict():
            return {key: _member(str(key), item, keys, paths, path) for key, item in value.items()}
        case list():
            # An element stands under the path of its array: `payload.cards.number` means every card.
            return [_walk(item, keys, paths, path) for item in value]
        case _:
            return value


def _member(key: str, item: Any, keys: Sequence[str], paths: Sequence[str], path: str) -> Any:
    below = f"{path}.{key}" if path else key
    if any(fnmatchcase(key.lower(), pattern) for pattern in keys):
        return MASK
    if any(fnmatchcase(below.lower(), pattern) for pattern in paths):
        return MASK
    return _walk(item, keys, paths, below)
