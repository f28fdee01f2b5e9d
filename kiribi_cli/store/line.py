"""The line in which writers stand: first come, first served, asleep until it is their turn.

SQLite knows no order: who tries at the right moment gets in, and fifty processes that try two thousand times a second
leave no processor for the one that writes. So each takes a lock in the run folder before it asks for the database; the
kernel keeps the order of those who wait, and frees the lock of whoever dies. It is a courtesy, not a safeguard: without
it, or with a program that does not know of it, SQLite's own lock still lets one in at a time. On the hot path.
"""

# pathlib costs 5 ms.
# ruff: noqa: PTH118, PTH120

import os
from _thread import allocate_lock, start_new_thread

from kiribi_cli import clock

FILE = "line"
# Somebody who was stopped (Ctrl-Z) at the head of the line must not keep everybody for ever.
PATIENCE_S = 2.0
# Nor a worker time and again: for so long it does without the line.
_DISTRUST_S = 60.0
_distrusted_until = 0.0


def enter(run_dir: str, *, make: bool = False) -> int | None:
    """Stand in line until it is our turn; answers what `leave` takes, None where there is no line or it stands still.

    `make`: begin a line where there is none. Whoever finds no crowd needs none.
    """
    try:
        place = _opened(os.path.join(run_dir, FILE), make=make)
    except OSError:
        return None
    its_turn = False
    try:
        its_turn = _is_free(place) or _is_reached(place)
    finally:
        if not its_turn:
            leave(place)
    return place if its_turn else None


def leave(place: int | None) -> None:
    """Let the next one in."""
    if place is not None:
        os.close(place)


def _opened(path: str, *, make: bool) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        if not make:
            raise
    from kiribi_cli import private

    private.make_folder(os.path.dirname(path))
    place = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    # Whatever the umask says.
    os.fchmod(place, 0o600)
    return place


def _is_free(place: int) -> bool:
    try:
        os.lockf(place, os.F_TLOCK, 0)
    except OSError:
        return False
    return True


def _is_reached(place: int) -> bool:
    global _distrusted_until  # noqa: PLW0603  (what this process knows of the line)
    if clock.monotonic() < _distrusted_until:
        return False
    if _waited(place):
        return True
    _distrusted_until = clock.monotonic() + _DISTRUST_S
    return False


def _waited(place: int) -> bool:
    """Sleep in the kernel's queue. In a thread, because there is no other way to wait there for a limited time."""
    turn = allocate_lock()
    turn.acquire()
    came: list[bool] = []

    def wait() -> None:
        try:
            os.lockf(place, os.F_LOCK, 0)
            came.append(True)
        except OSError:
            pass  # closed meanwhile, or a file system without locks: nobody's turn
        finally:
            turn.release()

    start_new_thread(wait, ())
    return turn.acquire(timeout=PATIENCE_S) and bool(came)
