"""The brain's side of the hands: start them, tell them what to run, read what became of it. Never blocks on a job."""

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, Self

from kiribi_cli.runner.launch import Launch, Report


class HandsLost(Exception):  # noqa: N818  (named for what happened)
    """The hands are gone; what they ran is described by the attempts' recorded processes."""


class Hands:
    """A launcher process and the socket to it."""

    @classmethod
    def start(
        cls, *, logs_dir: str, run_dir: str, db_path: str | None, slots: int | None = None, tee: bool = False
    ) -> Self:
        """Start a launcher. At most `slots` attempts run at once (None: all), further ones wait in the hands in order.

        `tee`: pass output through to this process's stdout and stderr as it comes, besides the log. The
        launcher listens at `path` for a later `attach`. Both folders must exist, with absolute paths.
        """
        raise NotImplementedError

    @classmethod
    def attach(cls, path: str) -> Self:
        """Take over the hands whose brain has died. Raises HandsLost when nobody is there, or they have a brain.

        The first reports are a Started for all that runs and the Ended of everything not yet `settled`.
        Attempts that were not to be adopted are being ended; they report nothing.
        """
        raise NotImplementedError

    path: str
    pid: int

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when there are reports (for select or epoll)."""
        raise NotImplementedError

    def start_many(self, launches: Sequence[Launch]) -> None:
        """Hand over attempts; never blocks. Raises HandsLost."""
        raise NotImplementedError

    def stop(
        self,
        attempt_id: int,
        why: Literal["cancel", "interrupt"],
        by: str = "",
        signal: int | None = None,
        kill_after_ms: int | None = None,
    ) -> None:
        """End an attempt: signal to the group, kill_after, SIGKILL to all of it (0: at once). Unknown ids are ignored.

        Asking again shortens what is going on, never lengthens it. Its Ended says Cancelled(by) or Interrupted.
        """
        raise NotImplementedError

    def recall(self) -> None:
        """Take back what waits in the hands: one Returned for each attempt that has not started."""
        raise NotImplementedError

    def resize(self, slots: int | None) -> None:
        """Change how many attempts run at once; running ones go on."""
        raise NotImplementedError

    def settled(self, attempt_ids: Collection[int]) -> None:
        """Say that these ends are stored: the hands keep the Ended of an adoptable attempt until then."""
        raise NotImplementedError

    def reports(self) -> list[Report]:
        """Take what has been reported, oldest first, without waiting. Raises HandsLost once everything was taken."""
        raise NotImplementedError

    def flush(self) -> bool:
        """Write what is buffered for the hands; true when nothing is left. `start_many` and `reports` try it too."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go: as a brain's death for what still runs. The launcher exits when nothing is left to run or report."""
        raise NotImplementedError


def waiting(run_dir: str) -> Iterable[str]:
    """List the sockets of launchers in this folder, for `attach`; stale ones of dead launchers included."""
    raise NotImplementedError
