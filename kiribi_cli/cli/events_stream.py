"""Events as they happen."""

from collections.abc import Iterator, Sequence

from kiribi_cli import clock
from kiribi_cli.core.job import Event
from kiribi_cli.store.base import Store

POLL = 0.05


def follow_events(
    store: Store, *, from_seq: int, since: int | None, types: Sequence[str], job_id: int | None
) -> Iterator[Event]:
    """Give events from `from_seq` on, and go on for ever; each once."""
    # Primes the comparison: what was there before is read in the first round.
    store.changed()
    while True:
        # The end is read first: what comes in between is left for the next round, and none is missed.
        last = store.last_seq()
        for event in store.events(from_seq=from_seq, since=since, types=types, job_id=job_id):
            if event.seq <= last:
                yield event
        from_seq = max(from_seq, last + 1)
        while not store.changed():
            clock.sleep(POLL)
