"""Ending attempts: the stop signal to the group, time to obey, then SIGKILL to every process of the job.

Runs in the hands: stdlib only, and light. A process is signalled only if it is known to be the job's: its first
process while we have not reaped it, or what descends from us and carries the job's session or environment.
"""

from __future__ import annotations

import os

from kiribi_cli.clock import monotonic
from kiribi_cli.runner import process
from kiribi_cli.runner.plain import signal

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from typing import Any

    from kiribi_cli.runner.attempt import Attempt
    from kiribi_cli.runner.launcher import Launcher

_LOOK_AGAIN = 0.02
_LOOK_SLOWLY = 0.25
# What SIGKILL has not ended by then sleeps in the kernel or is not ours to kill; waiting longer helps nobody.
_HOPELESS = 5.0
# How long what an earlier attempt left behind is given before SIGKILL, at most.
_CLEAR = 5.0


class Ending:
    """How attempts are stopped, and when they are really over."""

    def __init__(self, hands: Launcher) -> None:
        self._hands = hands

    def time_is_up(self, attempt: Attempt) -> None:
        """Stop an attempt that takes longer than its timeout."""
        self.begin(attempt, "timeout", "", attempt.base.stop_signal, attempt.base.kill_after)

    def begin(self, attempt: Attempt, why: str, by: str, number: int, kill_after: float) -> None:
        """Stop an attempt. Said again, it can only become quicker; a person's cancel beats the other reasons."""
        if attempt.over is not None and attempt.stop is None:
            return
        if attempt.stop is None and not attempt.child and _has_ended(attempt.pid):
            return
        if attempt.stop is None or why == "cancel":
            attempt.stop = (why, by)
        at = monotonic() + kill_after
        if attempt.kill_at and attempt.kill_at <= at:
            return
        attempt.kill_at = at
        if kill_after <= 0:
            self._kill(attempt, _LOOK_AGAIN / 4)
            return
        self._signal_group(attempt, number)
        attempt.alarms.append(self._hands.alarms.set(at, self._kill, attempt, _LOOK_AGAIN / 4))

    def hurry(self, attempt: Attempt) -> None:
        """Wait no longer for an attempt that is being stopped."""
        attempt.kill_at = monotonic()
        self._kill(attempt, _LOOK_AGAIN / 4)

    def first_process_ended(self, attempt: Attempt) -> None:
        """Go on when the first process has ended and its output was read: it is over, unless it is being stopped and
        there is more of it. What is outside the group has not heard of the stop yet.
        """
        if attempt.ended:
            return
        left = self._members(attempt) if attempt.stop is not None else []
        process.signal_groups(attempt.groups, 0)
        if not (left or attempt.groups) or (attempt.kill_at and monotonic() > attempt.kill_at + _HOPELESS):
            self._hands.finish(attempt)
            return
        told = {(one.pid, one.start_ticks) for one in attempt.left}
        for one in left:
            if one.group != attempt.pid and (one.pid, one.start_ticks) not in told:
                process.send(one, attempt.base.stop_signal)
                process.send(one, signal.SIGCONT)
        attempt.left = left
        self._hands.alarms.set(monotonic() + _LOOK_AGAIN, self.first_process_ended, attempt)

    def clear(self, attempt: Attempt, left: list[process.Process]) -> None:
        """End what earlier attempts of the job left behind, then start this one."""
        for one in left:
            process.send(one, attempt.base.stop_signal)
            process.send(one, signal.SIGCONT)
        now = monotonic()
        kill_at = now + min(attempt.base.kill_after, _CLEAR)
        self._clear_later(attempt, kill_at)

    def outcome(self, attempt: Attempt, status: int) -> list[Any]:
        """Say how it ended."""
        if attempt.stop is not None:
            return self.stopped(attempt)
        code = os.waitstatus_to_exitcode(status)
        return ["exit", code] if code >= 0 else ["signal", -code, code == -9 and self._hands.oom.explains_a_kill()]

    def stopped(self, attempt: Attempt) -> list[Any]:
        """Say why it was stopped."""
        why, by = attempt.stop or ("", "")
        if why == "timeout":
            return ["timeout", attempt.timeout_ms]
        return ["cancelled", by] if why == "cancel" else ["interrupted"]

    def _clear_later(self, attempt: Attempt, kill_at: float) -> None:
        alarm = self._hands.alarms.set(monotonic() + _LOOK_AGAIN, self._go_on_clearing, attempt, kill_at)
        attempt.alarms = [alarm]

    def _go_on_clearing(self, attempt: Attempt, kill_at: float) -> None:
        left = process.left_of_jobs({attempt.job}, self._hands.db).get(attempt.job, [])
        now = monotonic()
        if not left:
            self._hands.start(attempt)
        elif now > kill_at + _HOPELESS:
            # Two attempts of one job never run at the same time; better none than two.
            self._hands.end(attempt, ["interrupted"])
        else:
            if now >= kill_at:
                process.kill_all(lambda: process.left_of_jobs({attempt.job}, self._hands.db).get(attempt.job, []))
            self._clear_later(attempt, kill_at)

    def _signal_group(self, attempt: Attempt, number: int) -> None:
        if attempt.over is not None:
            return
        try:
            # Not reaped yet, so the number is still its own. A stopped process would not hear the signal.
            os.killpg(attempt.pid, number)
            os.killpg(attempt.pid, signal.SIGCONT)
        except OSError:
            return

    def _kill(self, attempt: Attempt, pause: float) -> None:
        """SIGKILL all of it; look again until it is over, because what forks meanwhile is found the next time."""
        if attempt.ended:
            return
        self._signal_group(attempt, process.SIGKILL)
        process.kill_all(lambda: self._members(attempt), passes=3, groups=attempt.groups)
        if attempt.over is None or monotonic() < attempt.kill_at + _HOPELESS:
            again = self._hands.alarms.set(monotonic() + pause, self._kill, attempt, min(pause * 2, _LOOK_SLOWLY))
            attempt.alarms.append(again)

    def _members(self, attempt: Attempt) -> list[process.Process]:
        leader = 0 if self._has_lost_its_number(attempt) else attempt.pid
        at = monotonic()
        members = process.of_attempt(leader, attempt.id, attempt.job, self._hands.db)
        process.remember_groups(attempt.groups, members, at)
        return members

    def _has_lost_its_number(self, attempt: Attempt) -> bool:
        """Tell whether we have started something else since that has the pid of its first process."""
        if attempt.over is None:
            return False
        return attempt.pid in self._hands.by_pid or (self._hands.pool is not None and self._hands.pool.has(attempt.pid))


def _has_ended(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
