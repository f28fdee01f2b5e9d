"""The three standard streams: open before any file is, never an encoding error, full and closed told apart."""

import codecs
import os
import sys
from contextlib import suppress


def guard() -> None:
    """Fill descriptors 0, 1, 2 that the caller has closed, and make every character printable.

    Without this the database would become descriptor 1 of `kiribi ... >&-`, and jobs would print into it.
    """
    codecs.register_error("kiribi.escape", _escape)
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # For what we start as well: in a launcher without a descriptor 1, a pipe of a job would become it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003  (positional only)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            # Undecodable names and symbols that an ASCII terminal lacks become \u....: ugly but true.
            stream.reconfigure(errors="kiribi.escape")


def _escape(error: UnicodeError) -> tuple[str, int]:
    # Not backslashreplace: its \xe9 and \U0001f600 would make JSON unreadable.
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4)), error.end


def flush() -> None:
    """Write out stdout, so that a full disk or a closed pipe is noticed while it can still be an exit code."""
    if sys.stdout is not None:
        sys.stdout.flush()


def abandon() -> None:
    """Point stdout at nothing, so that the interpreter does not complain about what it can no longer write."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    # A stream without a descriptor (a test's) has nothing to complain about.
