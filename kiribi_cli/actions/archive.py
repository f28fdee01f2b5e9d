"""A database with its logs as JSON lines, and back. Rows are the store's; here the logs join and leave the stream."""

import base64
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.private import make_folder
from kiribi_cli.runner.logs_dir import log_files
from kiribi_cli.store.base import Store

# Lines written at once.
BLOCK = 1_000


def lines(store: Store, logs: Path | None) -> Iterator[bytes]:
    """Stream the export in blocks of lines; with `logs` every log behind the rows."""
    block: list[str] = []
    for record in _records(store, logs):
        block.append(json.dumps(record, ensure_ascii=False))
        if len(block) >= BLOCK or record.get("table") == "logs":
            yield _encoded(block)
            block = []
    if block:
        yield _encoded(block)


def _records(store: Store, logs: Path | None) -> Iterator[dict[str, Any]]:
    yield from store.export()
    for file in sorted(log_files(logs), key=lambda file: file.path.name) if logs else ():
        try:
            data = file.path.read_bytes()
        except FileNotFoundError:
            continue  # swept meanwhile
        yield {"table": "logs", "name": file.path.name, "data": base64.b64encode(data).decode("ascii")}


def _encoded(block: list[str]) -> bytes:
    return "".join(line + "\n" for line in block).encode("utf-8", "surrogatepass")


def load(store: Store, stream: Iterable[bytes], logs: Path) -> int:
    """Store exported lines in an empty database, logs in its folder; answers how many rows."""
    return store.import_(_rows(stream, logs))


def _rows(stream: Iterable[bytes], logs: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        record = _parsed(line, number)
        if record.get("table") == "logs":
            _keep_log(record, logs, number)
        else:
            yield record


def _parsed(line: bytes, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _unreadable(number, f"not JSON ({error})") from None
    if not isinstance(record, dict):
        raise _unreadable(number, "no object")
    return record


def _keep_log(record: dict[str, Any], logs: Path, number: int) -> None:
    name, data = record.get("name"), record.get("data")
    # The name becomes a path: only names of logs, and no other folder.
    if not isinstance(name, str) or not isinstance(data, str) or not name.partition(".")[0].isdecimal() or "/" in name:
        raise _unreadable(number, "no log that kiribi db export wrote")
    make_folder(logs)
    try:
        content = base64.b64decode(data, validate=True)
        handle = os.open(logs / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    except (ValueError, OSError) as error:
        raise _unreadable(number, f"the log {name!r} cannot be kept: {error}") from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _unreadable(number: int, what: str) -> KiribiError:
    return KiribiError(
        Code.STORE, f"line {number} of the import is {what}", hint="kiribi db export writes what can be read"
    )
