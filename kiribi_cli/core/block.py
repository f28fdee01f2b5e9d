"""Many payloads in one look: flat objects, one a line, as `enqueue --batch` brings them by the hundred thousand.

A few passes of C over the whole block take a third of what the lines take one by one. What is not certainly valid is
answered with None: payload.py looks at each line then, and finds the words for what is wrong with it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from kiribi_cli.core import payload as payloads
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.params import quick_for
from kiribi_cli.errors import KiribiError

# Texts to store and their values; None where a line has to be looked at by itself.
Seen = tuple[list[str], list[dict[str, Any]]] | None

# No number of fewer digits is beyond 64 bits.
_LONG_NUMBER = b"0" * 19
_DIGITS_AS_0 = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))

_scan_quickly = payloads.scanner(pairs=None, integer=int)


def block_check_for(definition: Definition) -> Callable[[Sequence[bytes]], Seen]:
    """Build what checks many payloads of a definition at once: to the same end as params.check_for, or None."""
    if definition.payload_schema is not None:
        return lambda lines: None  # noqa: ARG005  (a schema looks at each value)
    limit, params = definition.payload_max, definition.params
    if params is None:
        return lambda lines: _with_distinct_keys(flat_objects(lines, limit))
    fill = quick_for(params)
    return lambda lines: _with_defaults(flat_objects(lines, limit), fill, limit)


def _with_distinct_keys(seen: Seen) -> Seen:
    if seen is None or not all(map(payloads.are_distinct, set(map(tuple, seen[1])))):
        return None
    return seen


def _with_defaults(seen: Seen, fill: Callable[[str, Any], str | None], max_bytes: int) -> Seen:
    texts = list[str]()
    for text, value in zip(*(seen or ([], [])), strict=True):
        filled = fill(text, value)
        # Four bytes a character at most: who is near the limit is measured one by one.
        if filled is None or len(filled) * 4 > max_bytes:
            return None
        texts.append(filled)
    return seen and (texts, seen[1])


def flat_objects(lines: Sequence[bytes], max_bytes: int) -> Seen:
    """Return texts and values of lines that are all valid payloads, each one object without lists and objects in it.

    >>> flat_objects([b'{"user": 1}', b'{"user": 2}'], 100)
    (['{"user": 1}', '{"user": 2}'], [{'user': 1}, {'user': 2}])
    >>> flat_objects([b'{"user": 1}', b'{"user": 2, "user": 3}'], 100)
    """
    block = b"\n".join(lines)
    if len(block) > max_bytes and max(map(len, lines)) > max_bytes:
        return None
    if not _is_plain(block, len(lines)):
        return None
    try:
        text = block.decode()
        values = _values(f"[{text.replace(chr(10), ',')}]")
    except (StopIteration, ValueError, SystemError, KiribiError):
        return None
    # Each line has one brace, its first byte, and each brace began a member of this list: so each line is one of them.
    return (text.split("\n"), values) if len(values) == len(lines) else None


def _is_plain(block: bytes, count: int) -> bool:
    """Whether there is one object a line, nothing to hide behind, and no rare number or escape."""
    return (
        block.startswith(b"{")
        and block.endswith(b"}")
        and block.count(b"}\n{") == count - 1
        and block.count(b"{") == count
        and b"[" not in block
        and _LONG_NUMBER not in block.translate(_DIGITS_AS_0)
        and not (b"\\u" in block and (b"\\ud" in block or b"\\uD" in block or b"\\u0000" in block))
    )


def _values(text: str) -> list[dict[str, Any]]:
    values, end = _scan_quickly(text, 0)
    if end != len(text) or set(map(type, values)) != {dict}:
        return []
    if sum(map(len, values)) != text.count(":"):
        # A colon in a string, or a key that is there twice: only the slower scanner knows which.
        values, _ = payloads.scan(text, 0)
    return list(values)
