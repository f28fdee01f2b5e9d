"""`kiribi enqueue --batch`: lines in, ids out, and an exact account of what is stored."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from kiribi_cli import clock
from kiribi_cli.actions.batch import Account, Alike, BadBatchError, BadLine, Batch, Cook
from kiribi_cli.actions.enqueue import Recipes
from kiribi_cli.actions.lines import object_lines, payload_lines, read_lines
from kiribi_cli.actions.request import Request, usage
from kiribi_cli.cli import doors
from kiribi_cli.cli.enqueue_one import check_served
from kiribi_cli.cli.wiring import Here
from kiribi_cli.config import cache
from kiribi_cli.core.records import dataclass, field, replace
from kiribi_cli.errors import Code


@dataclass(frozen=True, slots=True)
class Lines:
    """Where the lines come from and how they are taken."""

    source: str
    size: int
    on_error: str
    from_line: int
    dry_run: bool
    require_worker: bool


def enqueue_lines(at: Here, request: Request, lines: Lines) -> int:
    """Enqueue every line; prints ids as they are stored, and at the end what became of the lines."""
    if lines.on_error not in ("stop", "skip"):
        raise usage(f'--on-error is "{lines.on_error}"', "stop or skip")
    cook, queue = _cook(at, request)
    if lines.require_worker:
        check_served(at, queue)
    account = Account(lines.from_line)
    with _opened(lines.source) as file, _interruptible() as interrupt:
        bar = _Bar(at, _size(file))
        batch = Batch(
            cook=cook, store=None if lines.dry_run else at.open_store(create=True), account=account, size=lines.size,
            skip=lines.on_error == "skip", clock=clock.now_ms, stopped=lambda: interrupt.signal is not None,
            told=_Told(at, account, bar),
        )  # fmt: skip
        cache.save(at.config)
        try:
            batch.run(bar.counted(read_lines(file, batch.stopped)))
        except BadBatchError as error:
            bar.clear()
            _summary(at, account, error.bad)
            raise
        except BrokenPipeError:
            at.out.talk(f"Error: nobody reads the ids any more, stdout is closed; {account.sentence()}")
            raise
        finally:
            bar.clear()
    _summary(at, account, account.bad)
    return _end(at, account, interrupt.signal, dry_run=lines.dry_run)


def _cook(at: Here, request: Request) -> tuple[Cook | Alike, str]:
    """What makes rows of lines, and the queue they go to (without JOB: most likely)."""
    caller = replace(doors.caller(at), kind="batch")
    recipes = Recipes(at.config, caller)
    if request.job is not None:
        recipe = recipes.of(request)
        return payload_lines(recipe), recipe.plan["queue"]
    return object_lines(recipes, request), request.queue or "default"


@dataclass(frozen=True, slots=True)
class _Told:
    """Prints the ids of a transaction once it is stored, and names the lines that were left out."""

    at: Here
    account: Account
    bar: "_Bar"

    def __call__(self, ids: Sequence[int], bad: Sequence[BadLine]) -> None:
        for each in bad:
            self.bar.clear()
            self.at.out.talk(str(each))
        if ids and not self.at.out.as_json and not self.at.globals.silent:
            if self.at.out.tty:
                self.bar.clear()
            sys.stdout.write("\n".join(map(str, ids)) + "\n")
            sys.stdout.flush()
        self.bar.show(self.account)


def _summary(at: Here, account: Account, bad: Sequence[BadLine]) -> None:
    """With --json: the account as one object. Written in pieces: there may be millions of ids."""
    if not at.out.as_json or at.globals.silent:
        return
    from kiribi_cli.cli.output import compact

    told: dict[str, Any] = {
        "stored": account.stored,
        "deduplicated": account.deduplicated,
        "stored_through_line": account.through,
        "errors": [{"line": each.line, "code": each.code.slug, "message": each.message} for each in bad],
    }
    sys.stdout.write(compact(told)[:-1] + ', "ids": [')
    separator = ""
    for first, last in account.ids:
        for start in range(first, last + 1, 10_000):
            sys.stdout.write(separator + ", ".join(map(str, range(start, min(start + 10_000, last + 1)))))
            separator = ", "
    sys.stdout.write("]}\n")
    sys.stdout.flush()


def _end(at: Here, account: Account, interrupted: int | None, *, dry_run: bool) -> int:
    if interrupted is not None:
        at.out.talk(f"Interrupted; {account.sentence()}")
        return 128 + interrupted
    if dry_run:
        at.out.line(f"Would enqueue the lines up to {account.through}")
    elif not account.bad:
        there = f", {account.deduplicated:,} were there already" if account.deduplicated else ""
        at.out.note(f"{account.stored:,} jobs enqueued{there}")
    return Code.FAILED.value if account.bad else 0


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        if sys.stdin is None:
            raise usage("--batch -: stdin is closed", "--batch FILE")
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115  (closed below; what is raised while reading is not ours)
    except OSError as error:
        raise usage(f"cannot read {source}: {error.strerror}", "--batch FILE, or --batch - for stdin") from None
    with file:
        yield file


def _size(file: BinaryIO) -> int | None:
    import os
    import stat

    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@dataclass(slots=True)
class _Interrupt:
    signal: int | None = None

    def come(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            # Asked twice: do not wait for the transaction.
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def _interruptible() -> Iterator[_Interrupt]:
    """Let INT and TERM end the batch between two transactions, so that the account stays exact."""
    interrupt = _Interrupt()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with suppress(ValueError):  # not the main thread: nothing to arrange
        for number in before:
            signal.signal(number, interrupt.come)
    try:
        yield interrupt
    finally:
        with suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(slots=True)
class _Bar:
    """A progress bar on stderr, if a person reads it."""

    at: Here
    size: int | None
    read: int = 0
    shown_at: float = 0.0
    started: float = field(default_factory=clock.monotonic)
    visible: bool = False

    def counted(self, blocks: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
        for block in blocks:
            self.read += sum(map(len, block)) + len(block)
            yield block

    def show(self, account: Account) -> None:
        now = clock.monotonic()
        if not self.at.out.talks or now - self.shown_at < 0.1:
            return
        from kiribi_cli.cli.people import bar

        self.shown_at = now
        rate = account.stored / max(now - self.started, 0.001)
        share = min(self.read / self.size, 1.0) if self.size else None
        drawn = f"{bar(share, 20, unicode=self.at.out.unicode)}  {share:4.0%}  " if share is not None else ""
        sys.stderr.write(f"\r\x1b[Kenqueueing  {drawn}{account.stored:,} jobs  {rate:,.0f}/s")
        sys.stderr.flush()
        self.visible = True

    def clear(self) -> None:
        if self.visible:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self.visible = False
