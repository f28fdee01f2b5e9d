"""The log lines of a worker: readable text, or the objects of `kiribi events`, one a line."""

import json
import os
from collections.abc import Sequence
from typing import Any, Literal, TextIO, assert_never

from kiribi_cli.core.durations import took
from kiribi_cli.core.event import event_object
from kiribi_cli.core.instant import clock_text
from kiribi_cli.core.job import Event
from kiribi_cli.core.printable import printable
from kiribi_cli.core.settle import Cancel, Complete, Fail, Release, Retry, Snooze
from kiribi_cli.store.base import Claim, Settlement

_SYMBOLS = {"start": "▶", "completed": "✓", "failed": "✗", "again": "↻", "cancelled": "■"}
_ASCII = {"start": ">", "completed": "+", "failed": "x", "again": "~", "cancelled": "#"}


class Journal:
    """Write what happens. A line that cannot be written is dropped: no job waits for a reader of the log."""

    def __init__(self, stream: TextIO | None, form: Literal["text", "json"], *, utc: bool = False) -> None:
        self._stream = stream
        self._form = form
        # The name of the worker, as events tell it; set when it is known.
        self.by = ""
        self._utc = utc
        unicode = stream is not None and (stream.encoding or "").lower().replace("-", "") == "utf8"
        self._symbol = _SYMBOLS if unicode else _ASCII
        self._lines: list[str] = []
        self._second = (-1, "")

    def started(self, claims: Sequence[Claim], now: int) -> None:
        """Say which attempts have been claimed and go to the hands."""
        if self._stream is None:
            return
        for claim in claims:
            if self._form == "json":
                self._event(_started(claim, now, self.by))
            else:
                self._text(now, "start", claim, f"attempt {claim.attempts}/{claim.max_attempts}")

    def settled(self, settlements: Sequence[Settlement], now: int) -> None:
        """Say how attempts ended and what becomes of their jobs."""
        if self._stream is None:
            return
        for settled in settlements:
            if self._form == "json":
                self._event(_ended(settled, now, self.by))
            else:
                self._text(now, *_ending(settled))

    def say(self, now: int, sentence: str) -> None:
        """Write one sentence about the worker itself; as JSON, nothing: those happenings are events of the store."""
        if self._stream is not None and self._form == "text":
            self._lines.append(f"{self._clock(now)} {printable(sentence)}\n")

    def happened(self, event: Event, sentence: str) -> None:
        """Write a happening of the worker: the sentence as text, the event as JSON."""
        if self._form == "json":
            self._event(event)
        else:
            self.say(event.at, sentence)

    def flush(self) -> None:
        """Write out what has gathered in this turn."""
        if not self._lines or self._stream is None:
            return
        text = "".join(self._lines)
        self._lines.clear()
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # closed pipe, full disk, closed file: the queue matters more than its log
            # What stays in Python's buffer would fail again at exit, with a traceback.
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  (open as long as we live)

    def _event(self, event: Event) -> None:
        if self._stream is not None:
            self._lines.append(_json(event_object(event)) + "\n")

    def _text(self, now: int, symbol: str, claim: Claim, rest: str) -> None:
        name = printable(claim.job)
        self._lines.append(f"{self._clock(now)} {self._symbol[symbol]} {name:<7} {claim.job_id}  {rest}\n")

    def _clock(self, now: int) -> str:
        second = now // 1000
        if second != self._second[0]:
            self._second = (second, clock_text(now, utc=self._utc))
        return self._second[1]


def _json(value: dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # A terminal obeys characters that JSON lets pass as they are, beyond ASCII too.
    return text if text.isprintable() else json.dumps(value)


def _ending(settled: Settlement) -> tuple[str, Claim, str]:
    """Symbol, claim and the rest of the line that tells an end."""
    claim, said = settled.claim, _said(settled)
    attempt = f"attempt {claim.attempts}/{claim.max_attempts}"
    match settled.decision:
        case Complete():
            return "completed", claim, took(settled.duration_ms)
        case Retry(at):
            return "failed", claim, f"{attempt}  {said}  again in {took(max(0, at - settled.finished_at))}"
        case Snooze(at):
            return "again", claim, f"asked to be tried later  again in {took(max(0, at - settled.finished_at))}"
        case Release():
            return "again", claim, f"{said}  put back"
        case Fail():
            return "failed", claim, f"{attempt}  {said}  failed for good"
        case Cancel(by):
            return "cancelled", claim, f"cancelled by {printable(by)}"
        case _:
            assert_never(settled.decision)


def _said(settled: Settlement) -> str:
    if settled.error is None:
        return settled.outcome
    code = f"exit {settled.exit_code}" if settled.exit_code is not None else ""
    return printable(": ".join(part for part in (code, settled.error.message) if part and part != code) or code)


def _started(claim: Claim, now: int, by: str) -> Event:
    return Event(0, now, "job.started", claim.job_id, claim.job, "pending", "running", claim.attempt, by=by)


_TYPE = {Complete: "job.completed", Retry: "job.retrying", Snooze: "job.snoozed", Release: "job.interrupted"}
_TO = {
    Complete: "completed", Retry: "retrying", Snooze: "scheduled",
    Release: "pending", Fail: "failed", Cancel: "cancelled",
}  # fmt: skip


def _ended(settled: Settlement, now: int, by: str) -> Event:
    decision, claim = settled.decision, settled.claim
    type_ = _TYPE.get(type(decision), "job.failed" if isinstance(decision, Fail) else "job.cancelled")
    return Event(
        seq=0,
        at=now,
        type=type_,
        job_id=claim.job_id,
        job=claim.job,
        from_status="running",
        to_status=_TO[type(decision)],
        attempt=claim.attempt,
        final=isinstance(decision, Complete | Fail | Cancel),
        exit_code=settled.exit_code,
        by=by,
        reason=decision.reason if isinstance(decision, Fail) else None,
    )
