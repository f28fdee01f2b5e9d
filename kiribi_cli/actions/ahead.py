"""Work out the next piece in a second thread while the present one is stored: the disk needs no interpreter."""

import sys
from _queue import SimpleQueue  # the queue module loads threading for its other classes
from _thread import start_new_thread
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

# Seconds after which a thread lets the other one in. The default, 5 ms, is longer than a whole piece takes.
_TURN_S = 0.000_5


def ahead(work: Callable[[Given], Made], pieces: Iterable[Given | None]) -> Iterator[Made]:
    """Yield work(piece) for each, in order; while one is in use the next is worked out, and no more than that one.

    None among the pieces says that nothing follows for now: what there is comes at once. What `work` raises is raised
    in the place of its piece.

    >>> list(ahead(str.upper, ["a", "b", None, "c"]))
    ['A', 'B', 'C']
    """
    given = SimpleQueue[Given | None]()
    made = SimpleQueue[Made | BaseException]()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    start_new_thread(_work_on, (work, given, made))
    try:
        waiting = False
        for piece in pieces:
            if piece is not None:
                given.put(piece)
            if waiting:
                yield _got(made)
            waiting = piece is not None
        if waiting:
            yield _got(made)
    finally:
        given.put(None)
        sys.setswitchinterval(interval)


def _work_on(
    work: Callable[[Given], Made], given: "SimpleQueue[Given | None]", made: "SimpleQueue[Made | BaseException]"
) -> None:
    while (piece := given.get()) is not None:
        try:
            made.put(work(piece))
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            made.put(error)


def _got(made: "SimpleQueue[Made | BaseException]") -> Made:
    result = made.get()
    if isinstance(result, BaseException):
        raise result
    return result
