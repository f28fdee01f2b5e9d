"""More than one screen goes through a pager, as the reader is used to from git."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import chain
from shutil import get_terminal_size, which


def through_pager(pieces: Iterable[str], plainly: Callable[[Iterable[str]], None]) -> None:
    """Show lines: as they are if they fit the screen or there is no pager, else through it. Quitting early is fine."""
    rows = get_terminal_size((80, 24)).lines - 1
    lines = iter(pieces)
    first = [line for line, _ in zip(lines, range(rows + 1), strict=False)]
    command = _pager()
    if len(first) <= rows or command is None:
        plainly(chain(first, lines))
        return
    # Ctrl-C is for the pager, as with git: ended before it, we would leave it alone with a terminal without echo.
    # A handler of ours, since the pager would inherit SIG_IGN; and before it starts, since it can be that quick.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env={"LESS": "FRX", **os.environ})
    try:
        with process.stdin or sys.stdout.buffer as pipe:
            for line in chain(first, lines):
                pipe.write(line.encode(errors="backslashreplace"))
    except BrokenPipeError:
        pass  # the reader has seen enough
    finally:
        process.wait()
        signal.signal(signal.SIGINT, before)


def _pager() -> list[str] | None:
    named = os.environ.get("KIRIBI_PAGER", os.environ.get("PAGER", "less"))
    try:
        words = shlex.split(named)
    except ValueError:
        return None
    return words if words and words != ["cat"] and which(words[0]) else None
