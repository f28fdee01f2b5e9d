"""Why an attempt failed, in one line and one fingerprint: what lists, statistics and hooks show."""

import re
from typing import assert_never

from kiribi_cli.core.digest import sha256
from kiribi_cli.core.job import Problem
from kiribi_cli.core.outcome import (
    Cancelled,
    Exited,
    Interrupted,
    NeverStarted,
    Outcome,
    Raised,
    Signalled,
    Snoozed,
    TimedOut,
    WorkerLost,
)

MESSAGE_MAX = 500


def problem(outcome: Outcome, stderr_tail: str = "") -> Problem:
    """Name what went wrong: kind as in cli.md section 3, the telling line as the message.

    >>> problem(Exited(3), "reading\\nno such table: users\\n")
    Problem(kind='exit', message='no such table: users', fingerprint='ac9825cc')
    >>> problem(Signalled(9)).message
    'signal 9 (KILL)'
    """
    match outcome:
        case Exited(code):
            return _problem("exit", _last_line(stderr_tail) or f"exit {code}")
        case Signalled(number, oom):
            return _problem("signal", signal_text(number) + (", out of memory" if oom else ""))
        case Raised(kind, message):
            return _problem("exception", f"{kind}: {message}" if message else kind)
        case Snoozed():
            return _problem("exit", "asked to be tried later too often")
        case TimedOut(after_ms):
            return _problem("timed_out", f"timed out after {after_ms / 1000:g}s")
        case NeverStarted(reason):
            return _problem("never_started", reason)
        case WorkerLost():
            return _problem("worker_lost", "its worker died")
        case Interrupted():
            return _problem("interrupted", "its worker was stopped")
        case Cancelled(by):
            return _problem("cancelled", f"cancelled by {by}")
        case _:
            assert_never(outcome)


def signal_text(number: int) -> str:
    """Name a signal for people: `signal 9 (KILL)`."""
    name = signal_name(number)
    return f"signal {number} ({name.removeprefix('SIG')})" if name else f"signal {number}"


def signal_name(number: int) -> str | None:
    """SIGKILL for 9; None for what has no name (real-time signals).

    >>> signal_name(9), signal_name(40)
    ('SIGKILL', None)
    """
    from signal import Signals

    try:
        return Signals(number).name
    except ValueError:
        return None


def _problem(kind: str, message: str) -> Problem:
    from kiribi_cli.core.printable import storable  # looking at jobs does without

    text = storable(message)
    short = text if len(text) <= MESSAGE_MAX else text[: MESSAGE_MAX - 1] + "…"
    return Problem(kind, short, fingerprint(kind, short))


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


# What differs between two occurrences of one error: numbers, hex addresses, quoted values.
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+|'[^']*'|\"[^\"]*\"")


def fingerprint(kind: str, message: str) -> str:
    """Eight hex digits that are equal for errors that differ only in numbers and quoted values.

    >>> fingerprint("exit", "row 7 is bad") == fingerprint("exit", "row 12 is bad")
    True
    """
    return sha256(f"{kind}:{_VARYING.sub('#', message)}".encode(errors="replace")).hex()[:8]
