"""kiribi worker."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import here
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.private import opener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from kiribi_cli.cli.wiring import Here
    from kiribi_cli.config.model import Config


def worker(
    ctx: Context,
    *,
    queues: Annotated[
        list[str] | None,
        Option("-Q", "--queue", metavar="NAME[=N]", help="Only these queues, with N slots at most; default all."),
    ] = None,
    concurrency: Annotated[
        int | None, Option("-j", "--concurrency", metavar="N", min=1, max=1000, help="Slots: jobs at once.")
    ] = None,
    drain: Annotated[bool, Option("--drain", help="Run what is due until nothing is, then exit.")] = False,
    max_jobs: Annotated[int | None, Option("--max-jobs", metavar="N", min=1, help="Exit after N jobs.")] = None,
    max_time: Annotated[str | None, Option("--max-time", metavar="T", help="Take no jobs after T, exit.")] = None,
    idle_exit: Annotated[str | None, Option("--idle-exit", metavar="T", help="Exit after T without work.")] = None,
    drain_timeout: Annotated[
        str | None, Option("--drain-timeout", metavar="T", help="How long a stop waits for running jobs.")
    ] = None,
    name: Annotated[str | None, Option("--name", metavar="NAME", help="Default: HOST:PID.")] = None,
    pidfile: Annotated[str | None, Option("--pidfile", metavar="FILE", help="Write the pid there.")] = None,
    log_format: Annotated[str, Option("--log-format", metavar="text|json", help="Form of log lines.")] = "text",
    log_file: Annotated[str | None, Option("--log-file", metavar="FILE", help="Append log lines there.")] = None,
    exit_status: Annotated[
        bool, Option("--exit-status", help="With --drain: exit 1 if a job it ran failed for good.")
    ] = False,
) -> int:
    """Run jobs until told to stop.

    The first INT or TERM takes nothing new and waits for running jobs, the second stops them and puts them back, the
    third kills them. HUP reads jobs.toml again, as does any change of the file.

    Examples:
        kiribi worker
        kiribi worker -Q mail=2 -Q default
        kiribi worker --drain --max-time 4m -s
    """
    from kiribi_cli.worker.journal import Journal
    from kiribi_cli.worker.setup import Wish, enlist, refuse_unfit_machine

    at = here(ctx)
    if log_format not in ("text", "json"):
        raise KiribiError(Code.USAGE, f'--log-format is "{log_format}"', hint="write text or json")
    if name is not None and not (name.isprintable() and 0 < len(name) <= 200):
        raise KiribiError(Code.USAGE, f'--name: "{name}" is no name for a worker', hint="1 to 200 printable characters")
    wish = Wish(
        name=name, queues=read_queues(queues or ()), slots=concurrency, drain=drain, max_jobs=max_jobs,
        max_time_ms=_ms(at, max_time), idle_exit_ms=_ms(at, idle_exit), drain_timeout_ms=_ms(at, drain_timeout),
        sweep_argv=_sweep(at),
    )  # fmt: skip
    refuse_unfit_machine()
    store = at.open_store(create=True)
    form: Literal["text", "json"] = "json" if log_format == "json" else "text"
    journal = Journal(_log(at, log_file), form, utc=at.globals.utc)
    with _pid_written(pidfile):
        well = enlist(store, at.config, at.database, wish, journal, read=_reader(at)).run()
    return 0 if well or not (exit_status and drain) else 1


def read_queues(words: "Sequence[str]") -> dict[str, int | None] | None:
    """Read `-Q NAME[=N]`, several in one word if separated by commas; None when there is none.

    >>> read_queues(["mail=2", "default,bulk"])
    {'mail': 2, 'default': None, 'bulk': None}
    """
    found: dict[str, int | None] = {}
    for word in (part for each in words for part in each.split(",")):
        name, equals, slots = word.partition("=")
        if not name or (equals and not (slots.isascii() and slots.isdigit() and int(slots[:9]) > 0)):
            raise KiribiError(Code.USAGE, f'-Q "{word}" is not NAME or NAME=N', hint="kiribi worker -Q mail=2")
        found[name] = int(slots[:9]) if equals else None
    return found or None


def _ms(at: "Here", text: str | None) -> int | None:
    return None if text is None else at.duration(text)


def _log(at: "Here", path: str | None) -> "TextIO | None":
    if path is not None:
        try:
            # Open as long as we live.
            return open(path, "a", encoding="utf-8", errors="backslashreplace", opener=opener)
        except OSError as error:
            raise KiribiError(Code.USAGE, f"cannot write {path} (--log-file): {error.strerror}") from error
    return None if at.globals.silent else sys.stdout


@contextmanager
def _pid_written(path: str | None) -> "Iterator[None]":
    """Keep our pid in a file while we live."""
    if path is None:
        yield
        return
    try:
        with open(path, "w", encoding="ascii", opener=opener) as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise KiribiError(Code.USAGE, f"cannot write {path} (--pidfile): {error.strerror}") from error
    try:
        yield
    finally:
        Path(path).unlink(missing_ok=True)


def _sweep(at: "Here") -> tuple[str, ...]:
    """The command line that sweeps this database by these definitions."""
    config = ("-c", str(at.found.path)) if at.found.path else ()
    return (sys.executable, "-m", "kiribi_cli", "sweep", "--yes", "--silent", "--db", str(at.database.path), *config)


def _reader(at: "Here") -> "Callable[[], Config] | None":
    path = at.found.path
    if path is None:
        return None
    from kiribi_cli.config.read import read

    return lambda: read(path, walked=at.found.walked)
