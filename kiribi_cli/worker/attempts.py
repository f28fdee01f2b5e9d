"""From a claim to what the hands need, and from what they report to a settlement. Decides nothing, starts nothing."""

import json
from functools import lru_cache
from typing import assert_never

from kiribi_cli.core.definition import Definition
from kiribi_cli.core.job import Options
from kiribi_cli.core.outcome import (
    SUCCESS,
    Cancelled,
    Ended,
    Exited,
    Interrupted,
    NeverStarted,
    Outcome,
    Raised,
    Signalled,
    Snoozed,
    TimedOut,
    WorkerLost,
)
from kiribi_cli.core.printable import storable
from kiribi_cli.core.problem import problem, signal_name
from kiribi_cli.core.records import replace
from kiribi_cli.core.result import may_be_deep, result_text
from kiribi_cli.core.settle import Complete, Decision, Snooze, completes, settle
from kiribi_cli.runner.launch import Launch, Started, Work
from kiribi_cli.store.base import Claim, Running, Settlement

COMPLETE = Complete()


def work_of(claim: Claim, options: Options, timezone: str) -> Work:
    """What the runner has to know of a claimed job."""
    # By position, as everything that is made for each attempt: names cost as much as the value itself.
    return Work(
        claim.attempt_id, claim.job_id, claim.job, claim.queue, claim.attempt, claim.max_attempts,
        claim.max_attempts - claim.attempts, claim.run_at, claim.tags, claim.payload, options.env or {},
        options.command, options.cwd, claim.scheduled_for, claim.schedule or "", timezone, options.timeout_ms,
        claim.attempt > 1, unchecked=options.unchecked,
    )  # fmt: skip


def rules_of(definition: Definition, options: Options) -> Definition:
    """The definition with what `kiribi run` and ad-hoc jobs froze in the job instead."""
    if options.success_codes is not None:
        codes = frozenset(options.success_codes)
        definition = replace(definition, success_codes=codes, fail_codes=definition.fail_codes - codes)
    if options.kill_after_ms is not None:
        definition = replace(definition, kill_after_ms=options.kill_after_ms)
    return definition


def running(claim: Claim, started: Started, launch: Launch | None) -> Running:
    """What is recorded of an attempt that has begun: which process it is, and what it runs."""
    # As json.dumps writes it; both names come from the kernel and hold nothing to escape.
    process = f'["{started.boot_id}", "{started.pid_namespace}", {started.start_ticks}]'
    return _running(claim, started.at_ms, started.pid, process, launch)


def began_and_ended(claim: Claim, ended: Ended, process: str, launch: Launch | None) -> Running | None:
    """The same of one whose beginning is told with its end; None where it was told before, or did not begin."""
    if not ended.pid or ended.started_at is None:
        return None
    return _running(claim, ended.started_at, ended.pid, process, launch)


def _running(claim: Claim, at_ms: int, pid: int, process: str, launch: Launch | None) -> Running:
    command, cwd = (None, None) if launch is None else (_command(launch.argv), storable(launch.base.cwd))
    return Running(claim.attempt_id, claim.job_id, at_ms, pid, process, command, cwd)


@lru_cache(maxsize=1024)
def _command(argv: tuple[str, ...]) -> str:
    # ASCII: an argv that is not UTF-8 is kept as escaped halves of surrogate pairs.
    return json.dumps(argv)


def settlement(
    claim: Claim,
    ended: Ended,
    rules: Definition,
    options: Options,
    *,
    now: int,
    dice: float,
    began: Running | None = None,
) -> Settlement:
    """Decide what becomes of the job and say it in the words of the store."""
    decision: Decision = (
        COMPLETE
        if completes(ended.outcome, rules)
        else settle(claim.standing(options.backoff), ended.outcome, rules, now=now, dice=dice)
    )
    completed = isinstance(decision, Complete)
    exit_code, signal = (0, None) if ended.outcome is SUCCESS else _code_and_signal(ended.outcome)
    word = "completed" if completed else outcome_word(ended.outcome, decision)
    finished_at = now if ended.started_at is None else ended.started_at + ended.duration_ms
    error = None if completed or isinstance(decision, Snooze) else problem(ended.outcome, ended.stderr_tail)
    # What a Python callable returned is JSON text already; a command writes what it likes.
    is_json = rules.kind == "python" and not (ended.result and may_be_deep(ended.result))
    result = ended.result if is_json or not completed else result_text(ended.result)
    return Settlement(
        claim, decision, word, ended.started_at, finished_at, ended.duration_ms, ended.usage, exit_code, signal, error,
        result if completed else None, ended.log_bytes, began,
    )  # fmt: skip


def outcome_word(outcome: Outcome, decision: Decision) -> str:
    """The outcome of an attempt as cli.md names it; what a code list made a success is completed."""
    match outcome, decision:
        case _, Complete():
            return "completed"
        case ((Exited() | Snoozed()), Snooze()):
            return "snoozed"
        case ((Exited() | Signalled() | Raised() | Snoozed()), _):
            return "failed"
        case TimedOut(), _:
            return "timed_out"
        case NeverStarted(), _:
            return "never_started"
        case WorkerLost(), _:
            return "worker_lost"
        case Interrupted(), _:
            return "interrupted"
        case Cancelled(), _:
            return "cancelled"
        case _:
            assert_never(outcome)


def _code_and_signal(outcome: Outcome) -> tuple[int | None, str | None]:
    match outcome:
        case Exited(code):
            return code, None
        case Signalled(number):
            return None, signal_name(number) or f"signal {number}"
        case Raised():
            return 1, None
        case _:
            return None, None
