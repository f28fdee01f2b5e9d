"""Enqueue lines: in transactions of bounded size, each stored whole or not at all, with an exact account of which."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kiribi_cli.core import payload as payloads
from kiribi_cli.core.job import NewJob
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Inserted, Store, UniqueTaken


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot become a job."""

    line: int
    code: Code
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.code.slug}: {self.message}"


@dataclass(slots=True)
class Account:
    """What became of the lines so far: grows as transactions are stored. `ids` are runs (first, last), in order."""

    first_line: int
    stored: int = 0
    deduplicated: int = 0
    through: int = 0
    bad: list[BadLine] = field(default_factory=list)
    ids: list[tuple[int, int]] = field(default_factory=list)

    def add(self, inserted: Sequence[Inserted], through: int) -> None:
        self.through = through
        for each in inserted:
            if each.deduplicated:
                self.deduplicated += 1
            else:
                self.stored += 1
            if self.ids and self.ids[-1][1] + 1 == each.id:
                self.ids[-1] = (self.ids[-1][0], each.id)
            else:
                self.ids.append((each.id, each.id))

    def sentence(self) -> str:
        """Say which lines are stored and how to go on.

        >>> Account(1, through=4000).sentence()
        'stored lines 1-4000, go on with --from-line 4001'
        """
        if self.through < self.first_line:
            return f"stored nothing, go on with --from-line {self.first_line}"
        return f"stored lines {self.first_line}-{self.through}, go on with --from-line {self.through + 1}"


class BadBatchError(KiribiError):
    """The transaction with a bad line was not stored, nor anything after it."""

    def __init__(self, bad: Sequence[BadLine], account: Account) -> None:
        self.bad = tuple(bad)
        if len(bad) == 1:
            super().__init__(bad[0].code, f"{bad[0]}; {account.sentence()}")
        else:
            sentence = f"{len(bad)} lines cannot be enqueued; {account.sentence()}"
            super().__init__(bad[0].code, sentence, details=tuple(map(str, bad)))


# Given the moment of a transaction, gives what makes a row of a line.
Cook = Callable[[int], Callable[[bytes], NewJob]]
Told = Callable[[Sequence[Inserted], Sequence[BadLine]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How lines are stored. `size` lines are one transaction; without a store everything is checked, nothing stored.

    With `skip` bad lines are left out, else the first transaction with one raises BadBatchError. After each
    transaction is safe on disk, `told` hears what it brought. `account` is right at any moment.
    """

    cook: Cook
    store: Store | None
    account: Account
    size: int
    skip: bool
    clock: Callable[[], int]
    stopped: Callable[[], bool]
    told: Told

    def run(self, blocks: Iterable[list[bytes]]) -> None:
        """Store all lines; an empty block means that no more come for now. Once stopped, no transaction begins."""
        passed, waiting = 0, list[bytes]()
        for block in blocks:
            waiting += block
            while not self.stopped() and (len(waiting) >= self.size or (waiting and not block)):
                self._transaction(waiting[: self.size], passed)
                passed += len(waiting[: self.size])
                del waiting[: self.size]
        if waiting and not self.stopped():
            self._transaction(waiting, passed)

    def _transaction(self, lines: list[bytes], passed: int) -> None:
        first = self.account.first_line
        if passed + len(lines) < first:
            return
        numbered = list(enumerate(lines, passed + 1))[max(0, first - passed - 1) :]
        now = self.clock()
        jobs, numbers, bad = _rows(numbered, self.cook(now))
        if bad and not self.skip:
            raise BadBatchError(bad, self.account)
        inserted = self._stored(jobs, numbers, bad, now) if self.store and jobs else []
        self.account.add(inserted, passed + len(lines))
        self.account.bad += bad
        self.told(inserted, bad)

    def _stored(self, jobs: list[NewJob], numbers: list[int], bad: list[BadLine], now: int) -> list[Inserted]:
        # To leave a line out instead of its whole transaction, a conflict is met as a skip and told as what it is.
        strict = {place for place, job in enumerate(jobs) if self.skip and job.get("on_conflict") == "error"}
        for place in strict:
            jobs[place]["on_conflict"] = "skip"
        inserted = self._inserted(jobs, numbers, now)
        taken = {place for place in strict if inserted[place].deduplicated}
        bad.extend(_taken(numbers[place], jobs[place]["unique_key"], inserted[place].id) for place in sorted(taken))
        return [each for place, each in enumerate(inserted) if place not in taken] if taken else inserted

    def _inserted(self, jobs: list[NewJob], numbers: list[int], now: int) -> list[Inserted]:
        if self.store is None:
            return []
        try:
            return self.store.insert(jobs, now=now)
        except UniqueTaken as taken:
            raise BadBatchError([_taken(numbers[taken.index], taken.key, taken.holder)], self.account) from None
        except KiribiError as error:
            raise KiribiError(error.code, f"{error.message}; {self.account.sentence()}", hint=error.hint) from error


def _rows(
    numbered: Iterable[tuple[int, bytes]], make: Callable[[bytes], NewJob]
) -> tuple[list[NewJob], list[int], list[BadLine]]:
    jobs, numbers, bad = list[NewJob](), list[int](), list[BadLine]()
    for number, line in numbered:
        if not line or line.isspace():
            continue
        try:
            jobs.append(make(line))
            numbers.append(number)
        except KiribiError as error:
            bad.append(BadLine(number, error.code, _in_one_line(error)))
    return jobs, numbers, bad


def _taken(line: int, key: str | None, holder: int) -> BadLine:
    return BadLine(line, Code.CONFLICT, f'the unique key "{payloads.shown(key or "")}" is held by job {holder}')


def _in_one_line(error: KiribiError) -> str:
    problems = "; ".join(" ".join(line.split()) for line in error.details)
    return problems or error.message.removeprefix("the payload is ")
