"""What a worker does besides running jobs: hear what people ask, read a changed file, show that it lives."""

import os
import sys
from contextlib import suppress
from signal import Signals

from kiribi_cli import clock
from kiribi_cli.core.durations import spell_size
from kiribi_cli.core.job import Event, EventType
from kiribi_cli.errors import KiribiError
from kiribi_cli.runner.hands import Hands, HandsLost
from kiribi_cli.runner.launch import Place
from kiribi_cli.store.base import Store
from kiribi_cli.worker.definitions import Definitions
from kiribi_cli.worker.flight import Flight
from kiribi_cli.worker.journal import Journal
from kiribi_cli.worker.outage import STORE_PATIENCE, Outage
from kiribi_cli.worker.silence import beat_s
from kiribi_cli.worker.stopping import Stopping
from kiribi_cli.worker.watch import Watch

# What was claimed ahead is given back when nothing has ended for so long (seconds).
STUCK_AFTER = 0.2
# A heartbeat that is so late (seconds) was not merely waited for.
OVERSLEPT_S = 2.0


class Duties:
    """The small things. None of them stops the worker: what fails is tried at the next look."""

    def __init__(
        self,
        store: Store,
        worker_id: int,
        flight: Flight,
        definitions: Definitions,
        place: Place,
        journal: Journal,
        outage: Outage,
    ) -> None:
        self.low_disk = False
        self.watch = Watch(store.path)
        self._store = store
        self._worker_id = worker_id
        self._flight = flight
        self._definitions = definitions
        self._place = place
        self._journal = journal
        self._outage = outage
        self._asked_to_cancel: set[int] = set()
        # Whether somebody may have asked for something since we heard last.
        self._unheard = True
        self._next_beat = 0.0
        # When we showed last that we live: registering did.
        self.beat_at = clock.monotonic()

    def hear(self, stopping: Stopping, hands: Hands) -> None:
        """Do what people ask: end running jobs, or go."""
        busy = self._flight.slots.busy
        for request in self._store.cancel_requests(self._worker_id):
            if request.attempt_id in busy and request.attempt_id not in self._asked_to_cancel:
                self._asked_to_cancel.add(request.attempt_id)
                number = None if request.signal is None else Signals[request.signal]
                at_once = 0 if number is Signals.SIGKILL else None
                with suppress(HandsLost):
                    busy[request.attempt_id].hands.stop(request.attempt_id, "cancel", request.by, number, at_once)
        self._asked_to_cancel &= set(busy)
        asked = self._store.stop_requested(self._worker_id)
        self._unheard = False
        match asked:
            case "drain":
                stopping.stop_claiming(hands)
            case "now" if stopping.phase != "stopping":
                stopping.hurry(hands)
            case _:
                return

    def glance(self) -> bool:
        """Whether somebody has written to the database: asked while we sleep."""
        try:
            return self._note_change()
        except KiribiError as error:
            if error.final:
                raise
            # Busy: the next look comes within a poll, and says so.
            return False

    def _note_change(self) -> bool:
        changed = self._store.changed()
        if changed:
            self.watch.noticed()
            self._flight.may_claim = self._unheard = True
        return changed

    def look(self, stopping: Stopping, hands: Hands) -> None:
        """Look at everything that nobody rings for."""
        self._note_change()
        # What people ask for stands in the database. While nothing runs, no old request can become ours.
        if self._unheard or self._flight.slots.busy:
            self.hear(stopping, hands)
        if self._definitions.changed():
            self.reload(stopping)
        self._look_at_disk(stopping)
        self._return_the_stuck(hands)
        if clock.monotonic() >= self._next_beat or self._outage.lasts:
            self.beat(stopping)

    def reload(self, stopping: Stopping) -> None:
        """Read jobs.toml again; a broken one leaves the old definitions in force."""
        if self._definitions.reload():
            # What was composed from the old definitions is not good any more.
            self._place.known.clear()
            self._flight.may_claim = True
            known = len(self._definitions.config.definitions)
            self._tell("config.loaded", f"read jobs.toml again: {known} definitions")
            self._definitions.publish(self._store)
        else:
            error = self._definitions.error
            self._tell("config.invalid", f"jobs.toml is broken, the old one stays in force: {error}")
        self.beat(stopping)

    def _tell(self, type_: EventType, sentence: str) -> None:
        event = Event(0, clock.now_ms(), type_, by=self._journal.by, reason=self._definitions.error)
        self._journal.happened(event, sentence)
        self._store.record(type_, now=event.at, by=self._journal.by, reason=event.reason)

    def _look_at_disk(self, stopping: Stopping) -> None:
        """Claim nothing while the disk is nearly full; say so once."""
        least = self._definitions.config.worker.min_free
        is_low = free_bytes(self._store.path) < least
        if is_low is self.low_disk:
            return
        self.low_disk = is_low
        self._flight.may_claim = not is_low
        low = f"less than {spell_size(least)} free: nothing is claimed until there is more"
        self._journal.say(clock.now_ms(), low if is_low else "enough disk is free again")
        self.beat(stopping)

    def _return_the_stuck(self, hands: Hands) -> None:
        """Give back what was claimed ahead and waits behind a job that turned out to be long."""
        slots = self._flight.slots
        if len(slots.busy) > slots.size and clock.monotonic() - self._flight.ended_at > STUCK_AFTER:
            slots.note_duration(STUCK_AFTER * 1000)
            with suppress(HandsLost):
                hands.recall()

    def beat(self, stopping: Stopping) -> None:
        """Show that we live, and how we are."""
        now = clock.monotonic()
        self._next_beat = now + beat_s(self._definitions.config.worker.lease_ms)
        try:
            self._store.heartbeat(
                self._worker_id,
                state=stopping.phase,
                now=clock.now_ms(),
                low_disk=self.low_disk,
                config_error=self._definitions.error,
            )
        except KiribiError as error:
            # Busy or full: the lock proves that we live, and the next beat comes.
            self._outage.failed(error)
            self._next_beat = clock.monotonic() + STORE_PATIENCE
        else:
            self.beat_at = now
            self._outage.over()

    def show_life(self, stopping: Stopping) -> None:
        """Beat before anything else when that is long overdue: we have been stopped, and perhaps taken for lost."""
        if clock.monotonic() - self._next_beat > OVERSLEPT_S:
            self.beat(stopping)

    def is_overdue(self) -> bool:
        """Whether we have not shown for long that we live: whoever cannot renew a lease takes nothing new on it.

        So a worker that wakes up claims nothing before it knows whether it was declared lost.
        """
        lease_ms = self._definitions.config.worker.lease_ms
        return clock.monotonic() - self.beat_at > beat_s(lease_ms) + lease_ms / 3000


def free_bytes(path: str) -> int:
    """Bytes that we may still write beside this file; a file system that does not tell has enough."""
    try:
        status = os.statvfs(os.path.dirname(path) or ".")  # noqa: PTH120  (once a second for ever)
    except OSError:
        return sys.maxsize
    return status.f_bavail * status.f_frsize
