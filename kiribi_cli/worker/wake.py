"""What a worker sleeps on: the bell, its hands, signals. One epoll, so that an idle worker costs nothing."""

import select
from typing import Protocol


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

    def wait(self, seconds: float) -> list[Waking]:
        """What stirred within `seconds`; a signal ends the wait early, with what stirred so far."""
        # epoll takes milliseconds and rounds down: without the sum, a wait of 0.4 ms is a busy loop.
        return [self._by_fd[fd] for fd, _ in self._epoll.poll(max(0.0, seconds) and seconds + 0.001)]
