"""A terminal on which tests look at the program, and what may be seen there."""

import os
import pty
import re
import select
import signal
import subprocess
import time

from tests.conftest import KIRIBI, Kiribi

# Text, tabs, line ends as a terminal makes them, and colours. Nothing else may reach it.
SAFE = re.compile(
    "(?:[^\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r?\n|\x1b\\[[0-9;:]{0,64}m)*"
)
# What kiribi itself may send besides: the beginning of a line, and of the screen.
OURS = re.compile("\r\x1b\\[K|\x1b\\[H\x1b\\[J")


def on_a_terminal(
    kiribi: Kiribi, *arguments: object, until: bytes | None = None, keys: bytes = b"", within: float = 30, **options
) -> tuple[bytes, int | None]:
    """Run with all three streams on a terminal; give what it got, and the exit code.

    `until`: once this was shown, Ctrl-C is pressed. `keys`: typed at the beginning.
    """
    ours, theirs = pty.openpty()
    environment = kiribi.environment | {"TERM": "xterm-256color", "COLUMNS": "200", "LINES": "60", "PAGER": "cat"}
    process = subprocess.Popen(
        [str(KIRIBI), *(str(argument) for argument in arguments)],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment | options.pop("env", {}),
        cwd=options.pop("cwd", kiribi.folder), preexec_fn=_take_terminal, **options,  # noqa: PLW1509  (no threads here)
    )  # fmt: skip
    kiribi.started.append(process)
    os.close(theirs)
    os.write(ours, keys)
    shown = b""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            block = os.read(ours, 65536)
        except OSError:
            break  # everybody has closed it
        shown += block
        if until is not None and until in shown:
            os.killpg(process.pid, signal.SIGINT)
            until = None
    os.close(ours)
    return shown, process.wait(10)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def harm_in(shown: bytes) -> str | None:
    """Give what a terminal got that it should not have, with some of what is around it; None if there is none."""
    text = OURS.sub("", shown.decode("utf-8", "surrogateescape"))
    end = SAFE.match(text).end()
    return None if end == len(text) else repr(text[max(0, end - 60) : end + 60])
