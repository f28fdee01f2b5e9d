"""Ask workers to stop, and wait until they are gone."""

import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Literal

from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.runner.process import look
from kiribi_cli.store.base import Store, Worker


def choose_workers(store: Store, names: Sequence[str]) -> list[Worker]:
    """Take the live workers of these names, or all; raises NO_WORKER when there is none, NOT_FOUND for others."""
    alive = [worker for worker in store.workers() if worker.alive and worker.kind == "worker"]
    if not alive:
        raise KiribiError(
            Code.NO_WORKER, "no worker is running on this database", hint="kiribi ps --all lists dead ones"
        )
    known = [worker.name for worker in alive]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            suggestion = f'. Did you mean "{near[0]}"?' if near else ""
            raise KiribiError(Code.NOT_FOUND, f'no live worker "{name}"{suggestion}', hint="kiribi ps lists them")
    return [worker for worker in alive if not names or worker.name in names]


def stop(store: Store, workers: Sequence[Worker], how: Literal["drain", "now"], *, now: int) -> None:
    """Ask them; returns when the request is stored and the workers are rung."""
    store.ask_to_stop([worker.id for worker in workers], how, now=now)


def is_suspended(worker: Worker) -> bool:
    """Whether its process was stopped, by Ctrl-Z or kill -STOP: it lives, and does nothing."""
    process = look(worker.pid) if worker.alive and worker.host == os.uname().nodename else None
    return process is not None and process.state in "Tt"


def wait_gone(
    store: Store,
    workers: Sequence[Worker],
    *,
    clock: Callable[[], float],
    pause: Callable[[], None],
    timeout: float | None = None,
) -> list[Worker]:
    """Wait until these workers are gone, however they ended; answers who is still there after `timeout` seconds."""
    started = clock()
    waiting = {worker.id for worker in workers}
    while True:
        left = [worker for worker in store.workers() if worker.id in waiting and worker.alive]
        if not left or (timeout is not None and clock() - started >= timeout):
            return left
        pause()
