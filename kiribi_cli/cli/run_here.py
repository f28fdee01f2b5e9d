"""`kiribi run`: its options put to work, its output and exit code. What runs and is decided: worker/foreground.py."""

import os
import re
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import SIGPIPE
from typing import TYPE_CHECKING

from kiribi_cli import clock
from kiribi_cli.actions.request import Request, usage
from kiribi_cli.cli.enqueue_one import prepared_row
from kiribi_cli.cli.run_output import outputs_for_hands, print_logs
from kiribi_cli.cli.safe import safe
from kiribi_cli.cli.wiring import Here
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.durations import took
from kiribi_cli.core.job import NewJob
from kiribi_cli.core.options import options_from, options_text
from kiribi_cli.core.outcome import Cancelled, Exited, NeverStarted, Raised, Signalled, TimedOut
from kiribi_cli.core.records import dataclass, replace
from kiribi_cli.core.settle import Complete
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.runner.hands import Hands
from kiribi_cli.runner.launch import Place
from kiribi_cli.store.base import Claim
from kiribi_cli.worker.foreground import Busy, Foreground, Ledger, Ran, Recorded, Unrecorded
from kiribi_cli.worker.setup import identify, machine_zone, place_of, private
from kiribi_cli.worker.signals import Signals

if TYPE_CHECKING:
    from kiribi_cli.store.sqlite import SqliteStore

BUSY = 75
# Between two looks at a key that another job holds.
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of `run` that `enqueue` does not have, and the doors of the payload."""

    payload: str | None
    words: tuple[str, ...]
    kill_after: str | None
    success_codes: str | None
    if_busy: str
    quiet_on_success: bool
    stdin: bool
    record: bool


def run_here(at: Here, request: Request, wishes: Wishes) -> int:
    """Run it; the exit code is the job's. Raises KiribiError for what kiribi itself refuses or fails at."""
    busy = _read_if_busy(at, wishes.if_busy)
    row = _row(at, request, wishes)
    definition = _definition(at, row, request)
    try:
        store = at.open_store(create=True)
    except KiribiError as error:
        if error.code is not Code.STORE or row.get("unique_hash"):
            raise
        return _run_unrecorded(at, row, definition, wishes, error)
    return _run_recorded(at, store, row, definition, wishes, busy)


def _row(at: Here, request: Request, wishes: Wishes) -> NewJob:
    row = prepared_row(at, request, wishes.payload, wishes.words)
    options = options_from(row.get("options"))
    if wishes.kill_after is not None:
        options = replace(options, kill_after_ms=at.duration(wishes.kill_after))
    if wishes.success_codes is not None:
        options = replace(options, success_codes=_codes(wishes.success_codes))
    row["options"] = options_text(options)
    row["origin_kind"] = "run"
    return row


def _definition(at: Here, row: NewJob, request: Request) -> Definition:
    if not row.get("adhoc"):
        return at.config.definitions[row["job"]]
    command = at.config.adhoc(row["job"], request.command, str(Path.cwd()))
    # The whole environment of the caller; nothing of it is stored.
    return replace(command, env_inherit=("*",))


def _run_recorded(
    at: Here, store: "SqliteStore", row: NewJob, definition: Definition, wishes: Wishes, busy: "IfBusy"
) -> int:
    who = identify(f"run:{os.uname().nodename}:{os.getpid()}", "run", slots=1, queues=None, config=at.config)
    alive = store.liveness(who)
    try:
        worker_id = store.register(who, now=at.now())
        try:
            return _run_as(at, store, worker_id, row, definition, wishes, busy)
        finally:
            # What cannot be written now is known by the lock that we let go; the exit code is that of the job.
            with suppress(KiribiError):
                if not store.held_by(worker_id):
                    store.deregister(worker_id, now=at.now())
    finally:
        alive.close()


def _run_as(
    at: Here, store: "SqliteStore", worker_id: int, row: NewJob, definition: Definition, wishes: Wishes, busy: "IfBusy"
) -> int:
    ledger = Recorded(store, worker_id, at.by, at.out.warn)
    claim = _begin(ledger, row, busy)
    if isinstance(claim, int):
        return claim
    logs = private(at.database.logs)
    ran = _in_foreground(
        at, ledger, claim, definition, wishes,
        place=place_of(at.config, at.database), logs=logs, run=private(at.database.run),
    )  # fmt: skip
    code = _tell(at, ran, logs, wishes)
    if at.out.as_json:
        from kiribi_cli.actions.views import job_view

        job = store.job(claim.job_id, now=at.now())
        if job is not None:
            at.out.document(job_view(job, now=at.now()))
    if not wishes.record:
        from kiribi_cli.runner.logs_dir import delete_logs

        store.delete([claim.job_id], by=at.by, now=at.now(), first=lambda attempts: delete_logs(logs, attempts))
    return code


def _run_unrecorded(at: Here, row: NewJob, definition: Definition, wishes: Wishes, error: KiribiError) -> int:
    from tempfile import TemporaryDirectory

    at.out.talk(f"Warning: {error.message}; {row['job']} runs all the same, unrecorded")
    ledger = Unrecorded()
    claim = ledger.begin(row, at.now())
    with TemporaryDirectory(prefix="kiribi-") as folder:
        logs, run = private(Path(folder) / "logs"), private(Path(folder) / "run")
        config_path = None if at.config.path is None else str(at.config.path)
        place = Place(environ=os.environ, interpreter=sys.executable, config_path=config_path)
        ran = _in_foreground(at, ledger, claim, definition, wishes, place=place, logs=logs, run=run)
        return _tell(at, ran, logs, wishes)


def _begin(ledger: Ledger, row: NewJob, busy: "IfBusy") -> Claim | int:
    """Claim it, or say with which code to exit because the key is taken."""
    until = None if busy.wait_s is None else clock.monotonic() + busy.wait_s
    while True:
        begun = ledger.begin(row, clock.now_ms())
        if not isinstance(begun, Busy):
            return begun
        if busy.act == "skip":
            return 0
        if busy.act == "fail" or (until is not None and clock.monotonic() >= until):
            key = safe(str(row.get("unique_key")))
            sys.stderr.write(f"kiribi: {safe(row['job'])}: the key {key} is held by job {begun.holder}\n")
            return BUSY
        clock.sleep(POLL_S)


def _in_foreground(
    at: Here,
    ledger: Ledger,
    claim: Claim,
    definition: Definition,
    wishes: Wishes,
    *,
    place: Place,
    logs: Path,
    run: Path,
) -> Ran:
    signals = Signals()
    signals.install(hang_up_stops=True)
    tee = not (wishes.quiet_on_success or at.globals.silent)
    start = partial(Hands.start, logs_dir=str(logs), run_dir=str(run), db_path=place.db_path, tee=tee)
    with outputs_for_hands(at) as terminal:
        foreground = Foreground(
            ledger, start, signals, definition, place,
            timezone=at.config.timezone or machine_zone(), say=at.out.note,
            stdin="inherit" if wishes.stdin else "payload",
        )  # fmt: skip
    try:
        return foreground.run(claim)
    finally:
        foreground.close()
        terminal.finish()


def _tell(at: Here, ran: Ran, logs: Path, wishes: Wishes) -> int:
    """Print what was held back and the one line about a failure; the exit code."""
    settled = ran.last
    if isinstance(settled.decision, Complete):
        return settled.exit_code or 0
    if wishes.quiet_on_success:
        print_logs(at, logs, ran.attempt_ids)
    if ran.signal == SIGPIPE:
        return _exit_code(ran)  # nobody listens, as with any other program in a pipe
    count = len(ran.attempt_ids)
    job = f"{settled.claim.job} (job {settled.claim.job_id})" if settled.claim.job_id else settled.claim.job
    attempts = "1 attempt" if count == 1 else f"{count} attempts"
    sentence = f"{job} {_ending(ran)} after {attempts}, {took(ran.total_ms)}"
    at.out.talk(at.out.shown(f"kiribi: {sentence}"))
    return _exit_code(ran)


def _ending(ran: Ran) -> str:
    settled = ran.last
    match ran.ended.outcome:
        case Cancelled(by):
            return f"was cancelled by {by}"
        case Exited(code):
            return f"failed: exit {code}"
        case _:
            return f"failed: {settled.error.message if settled.error else settled.outcome}"


def _exit_code(ran: Ran) -> int:
    if ran.signal is not None:
        return 128 + ran.signal
    match ran.ended.outcome:
        case Exited(code):
            return code
        case Signalled(number):
            return 128 + number
        case TimedOut():
            return 124
        case Raised():
            return 1
        case NeverStarted(reason):
            # As shells and env have it: 127 for what is not there, 126 for what cannot be executed.
            return 127 if re.search("not found|does not exist|No such file", reason) else 126
        case _:
            return 1


@dataclass(frozen=True, slots=True)
class IfBusy:
    """What to do when the key is taken: "wait" (`wait_s` seconds at most, None: however long), "skip" or "fail"."""

    act: str
    wait_s: float | None = None


def _read_if_busy(at: Here, text: str) -> IfBusy:
    act, colon, longest = text.partition(":")
    if act not in ("wait", "skip", "fail") or (colon and act != "wait"):
        raise usage(f'--if-busy is "{text}"', "write wait, wait:10m, skip or fail")
    return IfBusy(act, at.duration(longest) / 1000 if colon else None)


def _codes(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and int(word) <= 255 for word in words):
        raise usage(f'--success-codes is "{text}"', "write numbers from 0 to 255: --success-codes 0,24")
    return tuple(int(word) for word in words)
