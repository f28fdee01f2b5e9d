"""How payloads come in from outside (text, @FILE, stdin), and who is calling: for whatever takes a payload."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kiribi_cli.errors import Code, KiribiError

if TYPE_CHECKING:
    from kiribi_cli.actions.enqueue import Caller
    from kiribi_cli.cli.wiring import Here

# One byte more than the largest payload that jobs.toml can allow: enough to see that it is too big.
_ENOUGH = 16 * 1_048_576 + 1


def given_payload(text: str | None) -> str | bytes | None:
    """Read `--payload`: JSON text, `@FILE`, or `-` for stdin."""
    if text == "-":
        if sys.stdin is None:
            raise KiribiError(Code.USAGE, "--payload -: stdin is closed", hint="--payload JSON, or --payload @FILE")
        return sys.stdin.buffer.read(_ENOUGH)
    if text is not None and text.startswith("@"):
        return _bytes(text[1:])
    return text


def file_text(name: str) -> str:
    """Read the file that KEY=@FILE names."""
    try:
        return _bytes(name).decode("utf-8")
    except UnicodeDecodeError:
        raise KiribiError(Code.PAYLOAD, f"{name} is not UTF-8", hint="payloads are text; pass a path instead") from None


def caller(at: "Here") -> "Caller":
    """Say who acts, from where."""
    from kiribi_cli.actions.enqueue import Caller
    from kiribi_cli.actions.origin import parent_job

    parent = parent_job(os.environ, str(at.database.path))
    return Caller(kind="cli", by=at.by, parent=parent, cwd=str(Path.cwd()), environ=os.environ, zone=at.zone)


def _bytes(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(_ENOUGH)
    except OSError as error:
        raise KiribiError(Code.USAGE, f"cannot read {name}: {error.strerror}", hint="@FILE names a file") from None
