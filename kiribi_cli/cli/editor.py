"""A text on its way through the editor of the person at the terminal, as often as it takes to be right."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, TypeVar

from kiribi_cli.errors import Code, KiribiError

if TYPE_CHECKING:
    from kiribi_cli.cli.wiring import Here

Read = TypeVar("Read")


def edited(at: "Here", text: str, read: Callable[[str], Read]) -> Read:
    """Open `text` in $VISUAL or $EDITOR and return what `read` makes of it.

    What `read` refuses is told, and the editor opens again with what was written, unless the answer is no.
    """
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()) or at.globals.no_input:
        raise KiribiError(
            Code.USAGE, "there is no terminal to edit in", hint="say by options what is to change; see --help"
        )
    handle, name = mkstemp(prefix="kiribi-", suffix=".toml")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        while True:
            _open(name)
            try:
                return read(Path(name).read_text("utf-8"))
            except KiribiError as error:
                if not _again(error):
                    raise
    finally:
        Path(name).unlink(missing_ok=True)


def _open(name: str) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(editor), name], check=False).returncode
    except (OSError, ValueError) as error:
        sentence = f'the editor "{editor}" could not be started: {error}'
        raise KiribiError(Code.USAGE, sentence, hint="set VISUAL or EDITOR") from None
    if code:
        raise KiribiError(Code.REFUSED, f'the editor "{editor}" ended with exit {code}, nothing was changed')


def _again(error: KiribiError) -> bool:
    from kiribi_cli.cli.failure import as_text
    from kiribi_cli.cli.safe import safe

    sys.stderr.write(safe(as_text(error)) + "\nEdit again?   [Y/n] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    return bool(answer) and answer.strip().lower() in ("", "y", "yes")
