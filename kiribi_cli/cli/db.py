"""kiribi db: info, migrate, backup, verify, vacuum, export, import."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

from kiribi_cli.cli.declared import Argument, Context, Option
from kiribi_cli.cli.wiring import DryRun, here
from kiribi_cli.errors import Code, KiribiError

if TYPE_CHECKING:
    from kiribi_cli.cli.wiring import Here

Target = Annotated[str, Argument(metavar="FILE|-", help="A file, or - for stdout.")]
Source = Annotated[str, Argument(metavar="FILE|-", help="A file, or - for stdin.")]
SIZES = ("size_bytes", "free_bytes", "wal_bytes", "log_bytes")


def info(ctx: Context) -> int:
    """Say what the database is like: version and verdict, sizes, rows, the oldest job.

    Examples:
        kiribi db info
        kiribi db info --json | jq .rows
    """
    from kiribi_cli.core.instant import rfc3339
    from kiribi_cli.runner.logs_dir import size_of

    at = here(ctx)
    view = at.store.info()
    if view.get("oldest_job"):
        view["oldest_job"] = view["oldest_job"] | {"created_at": rfc3339(view["oldest_job"]["created_at"])}
    view["log_bytes"] = size_of(at.database.logs)
    at.out.thing(view, lambda: _info_lines(at, view), name="path")
    return 0


def _info_lines(at: "Here", view: Mapping[str, Any]) -> Iterator[str]:
    from kiribi_cli.core.durations import spell_size

    about = "" if view.get("rows_exact", True) else "about "
    for key, value in view.items():
        if key in SIZES:
            text = spell_size(value)
        elif key == "rows":
            text = ", ".join(f"{about}{number:,} {name}" for name, number in value.items())
        elif key == "oldest_job":
            text = f"{value['id']}, {value['created_at']}" if value else "–"
        else:
            text = str(value)
        label = "logs" if key == "log_bytes" else key.removesuffix("_bytes").replace("_", " ")
        yield f"{label:<16}{at.out.shown(text)}"


def migrate(ctx: Context, *, dry_run: DryRun = False) -> int:
    """Bring an older database to the schema of this kiribi, after a backup beside it.

    The first command that opens it does the same by itself.

    Examples:
        kiribi db migrate -n
        kiribi db migrate
    """
    from kiribi_cli.store import connect, trouble
    from kiribi_cli.store.migrate import plan, steps

    at = here(ctx)
    if not (before := _schema_version(at)):
        raise trouble.missing(str(at.database.path))
    todo = plan(before, steps()) if before < connect.SCHEMA_VERSION else ()
    if not dry_run:
        # Opening it is what migrates it; a newer one is refused here.
        _ = at.store
    view = {
        "from": before,
        "to": max(before, connect.SCHEMA_VERSION),
        "dry_run": dry_run,
        "steps": [s.name for s in todo],
    }
    if at.out.as_json:
        at.out.document(view)
        return 0
    for step in todo:
        at.out.line(f"{'would apply' if dry_run else 'applied'} {step.version}: {step.name}")
    if not todo:
        at.out.note(f"✓ the schema is {before}, there is nothing to do")
    return 0


def _schema_version(at: "Here") -> int:
    from kiribi_cli.store import connect, trouble
    from kiribi_cli.store.migrate import version_of

    path = at.database.path
    if not path.exists():
        raise KiribiError(
            Code.STORE, f"there is no database at {path} ({at.database.origin})", hint="kiribi init makes one"
        )
    connection = None
    try:
        connection = connect.connect(str(path), read_only=True)
        refusal = None if connect.is_current(connection) else trouble.unfit(connection, str(path))
        if refusal:
            raise refusal
        return version_of(connection)
    except trouble.ERRORS as error:
        raise trouble.raised(error, str(path)) from error
    finally:
        if connection is not None:
            connect.let_go(str(path), connection)


def backup(ctx: Context, file: Target) -> int:
    """Copy the database while it is in use.

    The copy is a whole database. An existing FILE is replaced only with --yes.

    Examples:
        kiribi db backup /backup/kiribi.db --yes
        kiribi db backup - | gzip > kiribi.db.gz
    """
    at = here(ctx)
    if file == "-":
        _to_stdout(at)
        return 0
    to = Path(file).absolute()
    _may_replace(at, to)
    at.store.backup(to)
    at.out.note(f"✓ {to}")
    return 0


def _to_stdout(at: "Here") -> None:
    """Go through a file beside the original: a database cannot be written to a pipe as it grows."""
    from kiribi_cli.partial import partial

    with partial(at.database.path.with_name(f"{at.database.path.name}.backup")) as copy:
        at.store.backup(copy)
        with copy.open("rb") as source:
            while block := source.read(1 << 20):
                at.out.raw(block)


def verify(ctx: Context) -> int:
    """Read the whole database and check its rules: integrity, attempts, events, statistics, schema, logs.

    Exit 1 with a list if something is broken; `kiribi help verify` says what
    helps. Changes nothing, and workers may go on: it sees one moment. A million
    jobs take 15 to 30 seconds, and the WAL grows meanwhile.

    Examples:
        kiribi db verify
        kiribi db verify --json | jq -e .ok
    """
    from kiribi_cli.actions import verify as rules

    at = here(ctx)
    problems = rules.verify(at.store, at.database.logs)
    if at.out.as_json:
        at.out.document({"ok": not problems, "problems": problems})
    for problem in problems if not at.out.as_json else ():
        at.out.line(at.out.shown(problem))
    if not problems:
        at.out.note("✓ the database is whole, and its rules hold")
    elif not at.out.as_json:
        at.out.warn(f"{len(problems)} broken, nothing was changed; kiribi help verify says what helps")
    return 1 if problems else 0


def vacuum(ctx: Context) -> int:
    """Give the space of deleted rows back to the disk, in steps that block nobody for long.

    Examples:
        kiribi db vacuum
        kiribi sweep --yes && kiribi db vacuum
    """
    from kiribi_cli.core.durations import spell_size

    at = here(ctx)
    freed = max(0, at.store.vacuum())
    if at.out.as_json:
        at.out.document({"freed_bytes": freed})
    else:
        at.out.note(f"✓ {spell_size(freed)} given back")
    return 0


def export(
    ctx: Context,
    file: Annotated[str, Argument(metavar="[FILE|-]", help="A file; default: stdout.")] = "-",
    *,
    logs: Annotated[bool, Option("--logs", help="With everything that jobs printed.")] = False,
) -> int:
    """Write everything as JSON lines: jobs, attempts, events, statistics. Nothing is redacted.

    The way to another database, also of another kind.

    Examples:
        kiribi db export kiribi.jsonl
        kiribi db export --logs | gzip > kiribi.jsonl.gz
    """
    from kiribi_cli.actions.archive import lines

    at = here(ctx)
    blocks = lines(at.store, at.database.logs if logs else None)
    if file == "-":
        for block in blocks:
            at.out.raw(block)
        return 0
    to = Path(file).absolute()
    _may_replace(at, to)
    with _replacing(to) as target:
        for block in blocks:
            target.write(block)
    at.out.note(f"✓ {to}")
    return 0


def import_(ctx: Context, file: Source) -> int:
    """Read what kiribi db export wrote into an empty database.

    Examples:
        kiribi --db new.db db import kiribi.jsonl
        zcat kiribi.jsonl.gz | kiribi --db new.db db import -
    """
    from kiribi_cli.actions.archive import load

    at = here(ctx)
    if file == "-" and sys.stdin is None:
        raise KiribiError(Code.USAGE, "db import -: stdin is closed", hint="kiribi db import FILE")
    try:
        source = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise KiribiError(Code.USAGE, f"cannot read {file}: {error.strerror}") from None
    with source:
        rows = load(at.open_store(create=True), source, at.database.logs)
    if at.out.as_json:
        at.out.document({"rows": rows})
    else:
        at.out.note(f"✓ {rows:,} rows")
    return 0


def _may_replace(at: "Here", to: Path) -> None:
    # So that there is one.
    _ = at.store
    if to.is_dir():
        raise KiribiError(Code.USAGE, f"{to} is a folder", hint="name a file")
    if to.exists() and to.samefile(at.database.path):
        raise KiribiError(Code.USAGE, f"{to} is the database itself", hint="name another file")
    if to.exists():
        at.confirm(f"Replace {to}?")


@contextmanager
def _replacing(to: Path) -> "Iterator[BinaryIO]":
    """Give a file that takes the name only when it is complete; for our eyes only."""
    from kiribi_cli.partial import keep, partial

    try:
        with partial(to) as part:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            keep(part, to)
    except OSError as error:
        raise KiribiError(Code.STORE, f"cannot write {to}: {error.strerror}", hint="is the disk full?") from None
