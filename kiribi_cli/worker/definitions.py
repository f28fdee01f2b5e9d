"""The definitions in force: read again when the file changes or HUP asks; a broken one leaves them in place."""

from collections.abc import Callable, Mapping
from typing import Any

from kiribi_cli.config.cache import stamp
from kiribi_cli.config.model import Config, Stamp
from kiribi_cli.config.publish import all_published
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.job import Options
from kiribi_cli.core.options import options_from
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.errors import KiribiError
from kiribi_cli.store.base import Claim, Store
from kiribi_cli.worker.attempts import rules_of


@dataclass(slots=True)
class Definitions:
    """Holds the newest valid Config. `read` reads the files again and raises KiribiError when they are broken."""

    config: Config
    read: Callable[[], Config] | None = None
    error: str | None = None
    # The zone of this machine, for a file that names none.
    machine_zone: str = "UTC"
    # Every file that was looked at, as it was before it was read; after a failure, as it was then.
    _seen: dict[str, Stamp | None] = field(default_factory=dict)
    _known: dict[Any, tuple[Definition, Options]] = field(default_factory=dict)
    # What a worker with these definitions can claim, and how much of it at once over all workers.
    lanes: frozenset[str] = frozenset()
    queue_concurrency: Mapping[str, int] = field(default_factory=dict)
    lane_concurrency: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._take()

    @property
    def timezone(self) -> str:
        """The zone in which jobs are told times."""
        return self.config.timezone or self.machine_zone

    def changed(self) -> bool:
        """Whether a file differs from what was read last, broken or not."""
        return any(stamp(path) != before for path, before in self._seen.items())

    def reload(self) -> bool:
        """Read the files again. False: they are broken, `error` says how, the old definitions stay in force."""
        if self.read is None:
            return True
        before = {path: stamp(path) for path in self._seen}
        try:
            self.config = self.read()
        except KiribiError as error:
            self._seen = before
            self.error = "; ".join((error.message, *error.details[:1]))
            return False
        self._take()
        self.error = None
        return True

    def publish(self, store: Store) -> None:
        """Tell the view `enqueue` what is in force."""
        if self.config.path is not None:
            store.publish(str(self.config.path), all_published(self.config))

    def _take(self) -> None:
        self._seen = dict(self.config.inputs)
        self._known.clear()
        self.lanes = frozenset(self.config.definitions) | {""}
        queues, jobs = self.config.queues.values(), self.config.definitions.values()
        self.queue_concurrency = {one.name: one.concurrency for one in queues if one.concurrency is not None}
        self.lane_concurrency = {one.name: one.concurrency for one in jobs if one.concurrency is not None}

    def of(self, claim: Claim) -> tuple[Definition, Options]:
        """The rules for a claimed job (newest valid file, in the job's queue) and what is frozen in it.

        Kept, because claims repeat; the same Definition for the same thing, because the hands know it by identity.
        """
        key = (claim.adhoc, claim.job, claim.queue, claim.options)
        found = self._known.get(key)
        if found is None:
            if len(self._known) > 1_000:
                self._known.clear()
            options = options_from(claim.options)
            found = self._known[key] = rules_of(self._definition(claim, options), options), options
        return found

    def rules(self, claim: Claim) -> Definition:
        """Only the rules."""
        return self.of(claim)[0]

    def _definition(self, claim: Claim, options: Options) -> Definition:
        if claim.adhoc:
            made = self.config.adhoc(claim.job, options.command or (), options.cwd or "/")
            return made if claim.queue == made.queue else self.config.effective(made, claim.queue)
        known = self.config.definitions.get(claim.job)
        if known is None:  # rescued, and gone from the file: what decides its fate is frozen in the job
            return Definition(claim.job, "command")
        return known if known.queue == claim.queue else self.config.effective(known, claim.queue)
