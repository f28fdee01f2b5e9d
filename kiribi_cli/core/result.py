"""What a job hands back, as it is kept: JSON as JSON, other text as one string, nothing as null."""

import json

from kiribi_cli.core.payload import DEPTH_MAX


def result_text(raw: str | None) -> str | None:
    """JSON text to store for what a command wrote; None for nothing.

    What not every reader of JSON could read, such as 1e999 or brackets without end, is text.

    >>> result_text('{"rows": 7}\\n'), result_text("done\\n"), result_text(""), result_text("1e999")
    ('{"rows": 7}', '"done"', None, '"1e999"')
    """
    if raw is None or not raw.strip():
        return None
    text = raw.strip()
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return _as_string(raw)
    return _as_string(raw) if may_be_deep(text) and _is_deep(value) else text


def may_be_deep(text: str) -> bool:
    """Tell whether JSON has so many brackets that it needs a look."""
    return text.count("{") + text.count("[") > DEPTH_MAX


def _as_string(raw: str) -> str:
    return json.dumps(raw.rstrip("\n"), ensure_ascii=False)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [one for many in inner for one in many]
    return bool(level)


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:  # Python would write it as Infinity
        raise ValueError(digits)
    return number


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are not JSON
