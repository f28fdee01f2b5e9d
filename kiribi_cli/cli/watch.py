"""Showing something again and again, until Ctrl-C."""

from collections.abc import Callable
from shutil import get_terminal_size

from kiribi_cli import clock
from kiribi_cli.cli.wiring import Here
from kiribi_cli.core.records import replace
from kiribi_cli.errors import Code, KiribiError

EVERY = 2.0


def rows_that_fit() -> int:
    """Rows of a table that fit the screen, beside its heading and the line of the cursor."""
    return max(1, get_terminal_size((80, 24)).lines - 2)


def watching(at: Here, show: Callable[[], object], *, every: float = EVERY, plain: bool = False) -> int:
    """Show, wait, show again. `plain`: without clearing the screen; else a terminal is needed."""
    if not plain and not at.out.tty:
        raise KiribiError(Code.USAGE, "--watch needs a terminal", hint="leave it out, or call kiribi again and again")
    # A pager would wait for a key, and the next look with it.
    at.out = replace(at.out, pager=False)
    while True:
        if not plain:
            at.out.clear()
        show()
        clock.sleep(every)
