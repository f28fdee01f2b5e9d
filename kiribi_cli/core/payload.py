"""The text of a payload: is it JSON that every reader understands alike? And edits that keep the rest byte for byte.

Loads nothing at import, little later: `kiribi enqueue` comes through here. What a definition wants of it is params.py.
"""

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

DEFAULT_MAX = 1_048_576
ARGUMENT_MAX = 65_536
DEPTH_MAX = 64
_BIGGEST = 2**63
_SPACE = " \t\n\r"
# The same for lines that are still bytes: what else Python takes for white space is no JSON.
SPACE = _SPACE.encode()


def parse(text: "str | bytes", max_bytes: int = DEFAULT_MAX, *, around: int = 0) -> "Any":
    """Return the value of a payload; raise KiribiError(PAYLOAD) for what semantics.md, section 3, refuses.

    `around`: how deep in the text the payload itself stands.

    >>> parse('{"user": 42}')
    {'user': 42}
    """
    text = _decoded(text, max_bytes)
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _scanned(text, start)
    except StopIteration as stop:
        raise refusal(_expected(text, stop.value)) from None
    except RecursionError:
        raise refusal(f"nested deeper than {DEPTH_MAX}") from None
    except ValueError as error:
        raise refusal(f"not JSON: {error}") from None
    if end != len(text) and (rest := text[end:].lstrip(_SPACE)):
        raise refusal(f"not JSON: something follows the value at {_line_column(text, len(text) - len(rest))}")
    if text.count("{") + text.count("[") > DEPTH_MAX:
        _check_depth(value, DEPTH_MAX + around)
    # Only an escape can smuggle these in: raw ones were refused above.
    if "\\u" in text and ("\\ud" in text or "\\uD" in text or "\\u0000" in text):
        _check_characters(value)
    return value


def refusal(reason: str, name: str | None = None) -> "Exception":
    """Build the error for a payload: `the payload [of NAME] is ...`. Call as `raise refusal(...)`."""
    from kiribi_cli.errors import Code, KiribiError

    of = f" of {name}" if name else ""
    hint = "kiribi help payload says what can be written"
    return KiribiError(Code.PAYLOAD, f"the payload{of} is {reason}", hint=hint)


def _decoded(text: "str | bytes", max_bytes: int) -> str:
    try:
        check_size(text, max_bytes)
        return text.decode() if isinstance(text, bytes) else text
    except UnicodeError as error:
        raise refusal(f"not UTF-8 (at byte {error.start})" if hasattr(error, "start") else "not UTF-8") from None


def check_size(text: "str | bytes", max_bytes: int) -> None:
    """Refuse what takes more bytes than that; raises UnicodeError for a str that is no text."""
    if len(text) > max_bytes or (isinstance(text, str) and not text.isascii() and len(text.encode()) > max_bytes):
        raise refusal(f"too big: more than {max_bytes:,} bytes")


def _object(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise refusal(f'not valid: the key "{shown(key)}" is there twice')
            seen.add(key)
    return value


def _integer(digits: str) -> int:
    # The length first: reading a million digits takes seconds.
    if len(digits) > 20 or not -_BIGGEST <= (number := int(digits)) < _BIGGEST:
        raise refusal(f"not valid: {shown(digits)} is beyond a 64-bit integer")
    return number


def _number(digits: str) -> float:
    number = float(digits)
    if number - number != 0:  # infinite, without importing math
        raise refusal(f"not valid: {shown(digits)} is beyond what a number can hold")
    return number


def _constant(word: str) -> "NoReturn":
    raise refusal(f"not valid: {word} is not JSON")


def scanner(pairs: "Any", integer: "Any") -> "Callable[[str, int], tuple[Any, int]]":
    """Build a scanner: where a value begins -> value and end. `pairs` makes objects, `integer` the numbers."""

    class Rules:
        strict = True
        object_hook = None
        array_hook = None
        object_pairs_hook = staticmethod(pairs) if pairs else None
        parse_float = staticmethod(_number)
        parse_int = staticmethod(integer)
        parse_constant = staticmethod(_constant)
        memo: "dict[str, str]" = {}  # noqa: RUF012  (what the scanner asks for)

    try:
        # The json package loads re and takes 4 ms; the C scanner underneath is all that is needed.
        from _json import make_scanner
    except ImportError:
        from json import JSONDecoder

        hooks: Any = {name: getattr(Rules, name) for name in ("object_pairs_hook", "parse_float", "parse_int")}
        decoder: Any = JSONDecoder(parse_constant=_constant, **hooks)
        return decoder.scan_once  # type: ignore[no-any-return]
    rules: Any = Rules
    return make_scanner(rules)


scan = scanner(_object, _integer)


def _scanned(text: str, start: int) -> "tuple[Any, int]":
    try:
        return scan(text, start)
    except SystemError:
        # The scanner of CPython 3.11 has no error to raise until json.decoder is loaded.
        import json.decoder  # noqa: F401

        return scan(text, start)


def _check_depth(value: "Any", most: int) -> None:
    level = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise refusal(f"nested deeper than {DEPTH_MAX}")


def _check_characters(value: "Any") -> None:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                _check_string(text)
            case dict() as table:
                waiting.extend(table)
                waiting.extend(table.values())
            case list() as items:
                waiting.extend(items)
            case _:
                pass


def _check_string(text: str) -> None:
    if "\0" in text:
        raise refusal("not valid: a string holds NUL (\\u0000)")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refusal("not valid: a string holds half of a surrogate pair") from None


def _expected(text: str, position: int) -> str:
    if not text.strip(_SPACE):
        return "empty; for no payload leave it out"
    if text.startswith("\ufeff"):
        return "not JSON: it begins with a byte order mark"
    return f"not JSON: a value is expected at {_line_column(text, position)}"


def _line_column(text: str, position: int) -> str:
    return f"line {text.count(chr(10), 0, position) + 1} column {position - text.rfind(chr(10), 0, position)}"


def shown(text: str) -> str:
    r"""Shorten text for a message, control characters and halves of surrogate pairs escaped.

    >>> shown("a" * 80) == "a" * 57 + "..." and shown("a\tb")
    'a\\tb'
    """
    short = text if len(text) <= 60 else text[:57] + "..."
    return short if short.isprintable() else ascii(short)[1:-1]


def dump(value: "Any") -> str:
    """Write a value as compact JSON."""
    from json import dumps

    return dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def set_members(text: str, members: "Mapping[str, str]") -> str:
    """Give top-level members of an object new JSON texts, or append them; every other byte stays. `text` is valid.

    >>> set_members('{"a": 1.00, "b": null}', {"b": '"x"', "c": "[1]"})
    '{"a": 1.00, "b": "x","c":[1]}'
    """
    pieces, copied, left = [], 0, dict(members)
    closing = text.rindex("}")
    for key, start, end in _members(text):
        if key in left:
            pieces += [text[copied:start], left.pop(key)]
            copied = end
    added = ",".join(f"{dump(key)}:{value}" for key, value in left.items())
    head = "".join([*pieces, text[copied:closing]])
    comma = "," if added and not head.rstrip(_SPACE).endswith("{") else ""
    return f"{head}{comma}{added}{text[closing:]}"


def member(text: str, value: "dict[str, Any]", key: str) -> str:
    """Give the text of a top-level member of an object, byte for byte. `text` has passed `parse`, which gave `value`.

    >>> text = '{"a": 1.00, "b": null}'
    >>> member(text, parse(text), "a"), member(text, parse(text), "b")
    ('1.00', 'null')
    """
    quoted = f'"{key}"'
    # As it mostly is: the last member, its key spelled without escapes, and no such word elsewhere.
    if next(reversed(value)) == key and key.isidentifier() and text.count(quoted) == 1 and "\\u" not in text:
        start = _skip(text, _skip(text, text.index(quoted) + len(quoted)) + 1)
        return text[start : text.rindex("}")].rstrip(_SPACE)
    return next(text[start:end] for name, start, end in _members(text) if name == key)


def _members(text: str) -> "list[tuple[str, int, int]]":
    """Find the top-level members of an object: key, where its value starts and ends."""
    found = []
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = scan(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = scan(text, start)
        found.append((key, start, end))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return found


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def argument_variable(key: str) -> str:
    """Name the environment variable of a top-level key (jobs-toml.md, 7.1).

    >>> argument_variable("dry-run")
    'KIRIBI_ARG_DRY_RUN'
    """
    upper = key.upper() if key.isascii() else key
    if not (upper.isascii() and upper.isidentifier()):
        # Letters beyond ASCII have no agreed upper case: "ß" would become two letters.
        upper = "".join(c.upper() if c.isascii() and (c.isalnum() or c == "_") else "_" for c in upper)
    return f"KIRIBI_ARG_{upper}"


# Keys of objects whose variables are known to differ, whatever the values.
_distinct: "set[tuple[str, ...]]" = set()
_DISTINCT_MAX = 256


def check_arguments(value: "Any") -> None:
    """Refuse an object in which two keys would be one KIRIBI_ARG_ variable; nulls, lists and objects get none."""
    if not isinstance(value, dict) or are_distinct(tuple(value)):
        return
    seen: dict[str, str] = {}
    for key, inner in value.items():
        if inner is None or isinstance(inner, (dict, list)):
            continue
        variable = argument_variable(key)
        if variable in seen:
            raise refusal(f'not valid: "{shown(seen[variable])}" and "{shown(key)}" are both ${variable}')
        seen[variable] = key


def are_distinct(keys: "tuple[str, ...]") -> bool:
    """Tell whether keys have variables of their own, whatever the values.

    >>> are_distinct(("a", "b")), are_distinct(("a-b", "a_b"))
    (True, False)
    """
    if len(keys) < 2 or keys in _distinct:
        return True
    if len({argument_variable(key) for key in keys}) < len(keys):
        return False
    # The lines of a batch mostly have the same keys.
    if len(_distinct) >= _DISTINCT_MAX:
        _distinct.clear()
    _distinct.add(keys)
    return True
