"""Retry, cancel and delete jobs that were chosen. The rules stand in the store; here is what a person asks for."""

from collections.abc import Callable, Sequence
from pathlib import Path

from kiribi_cli.actions.acting import Action, Chosen, act_on
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.runner.logs_dir import delete_logs
from kiribi_cli.store.base import Acted, Store


def retry(
    store: Store,
    chosen: Chosen,
    *,
    by: str,
    now: int,
    force: bool = False,
    more: int | None = None,
    in_ms: int = 0,
    spread_ms: int = 0,
) -> Action:
    """Put jobs back: attempts are appended, never erased. Starts begin `in_ms` from now, evenly over `spread_ms`."""
    starts = spread(chosen.ids, first=now + in_ms, over_ms=spread_ms) if in_ms or spread_ms else None

    def act(ids: Sequence[int]) -> Acted:
        at = {job: starts[job] for job in ids} if starts is not None else None
        return store.retry(ids, by=by, now=now, force=force, more=more, run_at=at)

    return act_on("retry", chosen, act)


def spread(ids: Sequence[int], *, first: int, over_ms: int) -> dict[int, int]:
    """Give each job its start: the first at `first`, the others evenly behind it, all within `over_ms`.

    >>> spread((7, 8, 9, 10), first=1000, over_ms=400)
    {7: 1000, 8: 1100, 9: 1200, 10: 1300}
    """
    return {job: first + index * over_ms // len(ids) for index, job in enumerate(ids)}


def cancel(store: Store, chosen: Chosen, *, by: str, now: int, signal: str | None = None) -> Action:
    """Cancel waiting jobs at once and ask for the end of running ones; returns when that is stored."""
    return act_on("cancel", chosen, lambda ids: store.cancel(ids, by=by, now=now, signal=signal))


def remove(store: Store, logs: Path, chosen: Chosen, *, by: str, now: int) -> Action:
    """Delete finished jobs with their attempts and logs; after a crash, the same again does the rest."""

    def act(ids: Sequence[int]) -> Acted:
        acted, _ = store.delete(ids, by=by, now=now, first=lambda attempts: delete_logs(logs, attempts))
        return acted

    return act_on("rm", chosen, act)


def await_end(
    store: Store,
    ids: Sequence[int],
    *,
    clock: Callable[[], float],
    pause: Callable[[], None],
    patience: float | None = None,
) -> frozenset[int]:
    """Wait until none of these jobs runs, for `patience` seconds at most; answers those that still run."""
    started = clock()
    while True:
        left = frozenset(job.id for job in store.running()).intersection(ids)
        if not left or (patience is not None and clock() - started >= patience):
            return left
        pause()


def signal_word(text: str) -> str:
    """Read `--signal`: a name with or without SIG in any case, or a number. Answers the name with SIG.

    >>> signal_word("usr1"), signal_word("9"), signal_word("SIGTERM")
    ('SIGUSR1', 'SIGKILL', 'SIGTERM')
    """
    from signal import Signals

    word = text.strip().upper()
    try:
        if word.isascii() and word.isdigit():
            return Signals(int(word)).name
        return Signals["SIG" + word.removeprefix("SIG")].name
    except (ValueError, KeyError):
        raise KiribiError(
            Code.USAGE, f'"{text}" is not a signal', hint="write it as TERM, INT, KILL, USR1 or a number"
        ) from None
