"""A store that cannot be written for a while: said once when it begins, and once when it is over."""

from kiribi_cli import clock
from kiribi_cli.core.durations import took
from kiribi_cli.errors import KiribiError
from kiribi_cli.worker.journal import Journal

# After a transaction that failed (disk full, database busy): seconds until it is tried again.
STORE_PATIENCE = 1.0
# How long one of a worker's transactions waits for other writers: its loop has signals to hear, and jobs to stop.
WRITER_PATIENCE = 1.0
# In a crowd of writers a worker's turn may take seconds to come: that is no trouble yet.
CROWD_S = 5.0


class Outage:
    """What a worker knows of the trouble its store is in."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since: float | None = None
        self._said = ""

    @property
    def lasts(self) -> bool:
        """Whether the latest write failed."""
        return self._since is not None

    def failed(self, error: KiribiError) -> None:
        """Note that something could not be written, or read. Raises what trying again cannot mend."""
        if error.final:
            raise error
        if self._since is None:
            self._since = clock.monotonic()
        # Said again only when it is another trouble; whoever writes meanwhile is another each time.
        said = error.message.partition(": ")[0]
        if said.endswith(" is busy") and clock.monotonic() - self._since < CROWD_S:
            return
        if said != self._said:
            self._said = said
            self._journal.say(clock.now_ms(), f"trying again until it works: {error.message}")

    def over(self) -> None:
        """Note that something was written."""
        if self._since is None:
            return
        if self._said:
            lasted = took(round((clock.monotonic() - self._since) * 1000))
            self._journal.say(clock.now_ms(), f"the database can be written again, after {lasted}")
        self._since, self._said = None, ""
