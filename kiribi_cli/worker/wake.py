"""What a worker sleeps on: the bell, its hands, signals. One epoll, so that an idle worker costs nothing."""

import select
from collections.abc import Callable
from typing import Protocol

from kiribi_cli import clock
from kiribi_cli.worker.watch import Watch


class Waking(Protocol):
    def fileno(self) -> int: ...


class Wake:
    """Sleep until one of several things stirs."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._by_fd: dict[int, Waking] = {}

    def add(self, thing: Waking) -> None:
        self._by_fd[thing.fileno()] = thing
        self._epoll.register(thing.fileno(), select.EPOLLIN)

    def __contains__(self, thing: Waking) -> bool:
        return any(known is thing for known in self._by_fd.values())

    def remove(self, thing: Waking) -> None:
        """Forget it; must be called before it is closed."""
        fd = next(fd for fd, known in self._by_fd.items() if known is thing)
        del self._by_fd[fd]
        self._epoll.unregister(fd)

    def close(self) -> None:
        """Watch nothing any more."""
        self._epoll.close()

    def wait(self, seconds: float, watch: Watch, glance: Callable[[], bool]) -> list[Waking]:
        """What stirred within `seconds`; a signal ends the wait early, with what stirred so far.

        Whenever `watch` wants it, `glance` is asked, and ends the wait by being true. Nothing else is done between two
        glances: a whole step of the loop would cost several times as much.
        """
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > (pause := watch.pause()):
            if found := self._poll(pause):
                return found
            changed = glance()
            watch.glanced(changed=changed)
            if changed:
                return []
        return self._poll(max(0.0, left))

    def _poll(self, seconds: float) -> list[Waking]:
        # epoll takes milliseconds and rounds down: without the sum, a wait of 0.4 ms is a busy loop.
        return [self._by_fd[fd] for fd, _ in self._epoll.poll(seconds and seconds + 0.001)]
