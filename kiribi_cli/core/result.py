"""What a job hands back, as it is kept: JSON as JSON, other text as one string, nothing as null."""

import json


def result_text(raw: str | None) -> str | None:
    """JSON text to store for what a command wrote; None for nothing.

    >>> result_text('{"rows": 7}\\n'), result_text("done\\n"), result_text("")
    ('{"rows": 7}', '"done"', None)
    """
    if raw is None or not raw.strip():
        return None
    text = raw.strip()
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return json.dumps(raw.rstrip("\n"), ensure_ascii=False)
    return text


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are not JSON
