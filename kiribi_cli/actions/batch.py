"""Enqueue lines: in transactions of bounded size, each stored whole or not at all, with an exact account of which."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from kiribi_cli.actions.ahead import ahead
from kiribi_cli.core import payload as payloads
from kiribi_cli.core.job import NewJob
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Inserted, Store, UniqueTaken

Made = TypeVar("Made")


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

    def add(self, ids: Sequence[int], deduplicated: int, through: int) -> None:
        """Count what a transaction brought; `through`: the last line it covers."""
        self.through = through
        self.deduplicated += deduplicated
        self.stored += len(ids) - deduplicated
        for first, last in _runs(ids):
            if self.ids and self.ids[-1][1] + 1 == first:
                self.ids[-1] = (self.ids[-1][0], last)
            else:
                self.ids.append((first, last))

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


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines for one transaction, and the number of the first."""

    first: int
    lines: list[bytes]

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1


@dataclass(frozen=True, slots=True)
class Checked:
    """The payloads of a piece, and the lines that hold none."""

    piece: Piece
    texts: list[str]
    bad: list[BadLine]


@dataclass(frozen=True, slots=True)
class Alike:
    """Lines whose jobs differ in their payload only. `job` is what they share at a moment.

    `text` checks a line and gives the payload to store. `texts` does it for many at once, or answers None where one of
    them has to be looked at by itself.
    """

    job: Callable[[int], NewJob]
    text: Callable[[bytes], str]
    texts: Callable[[Sequence[bytes]], list[str] | None]

    def checked(self, piece: Piece) -> Checked:
        """Check lines; they need no moment, so they can be checked before it is their turn to be stored."""
        texts, bad = list[str](), list[BadLine]()
        for start in range(0, len(piece.lines), _BLOCK):
            block = piece.lines[start : start + _BLOCK]
            seen = self.texts(block)
            if seen is None:
                seen, _, wrong = _made(Piece(piece.first + start, block), self.text)
                bad += wrong
            texts += seen
        return Checked(piece, texts, bad)


# Given the moment of a transaction, what makes a row of each of its lines.
Cook = Callable[[int], Callable[[bytes], NewJob]]
# Hears the ids that a transaction brought, and the lines that it left out.
Told = Callable[[Sequence[int], Sequence[BadLine]], None]

# Payloads may be large: a transaction is bounded by its bytes, too.
_BYTES_MAX = 16 * 1_048_576
# Lines that are looked at together; one that is not plain makes so many slow.
_BLOCK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How lines are stored. `size` lines are one transaction; without a store everything is checked, nothing stored.

    With `skip` bad lines are left out, else the first transaction with one raises BadBatchError. After each
    transaction is safe on disk, `told` hears what it brought. `account` is right at any moment.
    """

    cook: Cook | Alike
    store: Store | None
    account: Account
    size: int
    skip: bool
    clock: Callable[[], int]
    stopped: Callable[[], bool]
    told: Told

    def run(self, blocks: Iterable[list[bytes]]) -> None:
        """Store all lines; an empty block means that no more come for now. Once stopped, no transaction begins."""
        match self.cook:
            case Alike() as alike:
                for checked in ahead(alike.checked, self._pieces(blocks)):
                    if self.stopped():
                        return
                    self._store_alike(alike, checked)
            case cook:
                for piece in self._pieces(blocks):
                    if piece is not None:
                        self._store(cook, piece)

    def _pieces(self, blocks: Iterable[list[bytes]]) -> Iterator[Piece | None]:
        """Cut the lines into transactions, those before `--from-line` left out. None: no more come for now."""
        passed, waiting = 0, list[bytes]()
        for block in chain(blocks, [[]]):
            waiting += block
            while not self.stopped() and (len(waiting) >= self.size or (waiting and not block)):
                lines = _bounded(waiting[: self.size])
                del waiting[: len(lines)]
                before = max(0, self.account.first_line - passed - 1)
                if before < len(lines):
                    yield Piece(passed + before + 1, lines[before:])
                passed += len(lines)
            if not block:
                yield None

    def _store_alike(self, alike: Alike, checked: Checked) -> None:
        now = self.clock()
        self._check(checked.bad)
        self._keep(self._alike(alike.job(now), checked.texts, now), 0, checked)

    def _store(self, cook: Cook, piece: Piece) -> None:
        now = self.clock()
        jobs, numbers, bad = _made(piece, cook(now))
        self._check(bad)
        inserted = self._strict(jobs, numbers, bad, now)
        deduplicated = sum(each.deduplicated for each in inserted)
        self._keep([each.id for each in inserted], deduplicated, Checked(piece, [], bad))

    def _keep(self, ids: Sequence[int], deduplicated: int, checked: Checked) -> None:
        """Put a transaction that is on disk into the account, and tell of it."""
        self.account.add(ids, deduplicated, checked.piece.last)
        self.account.bad += checked.bad
        self.told(ids, checked.bad)

    def _check(self, bad: list[BadLine]) -> None:
        if bad and not self.skip:
            raise BadBatchError(bad, self.account)

    def _alike(self, job: NewJob, texts: list[str], now: int) -> range:
        if self.store is None or not texts:
            return range(0)
        try:
            return self.store.insert_alike(job, texts, now=now)
        except KiribiError as error:
            raise self._stopped_by(error) from error

    def _strict(self, jobs: list[NewJob], numbers: list[int], bad: list[BadLine], now: int) -> list[Inserted]:
        # To leave a line out instead of its whole transaction, a conflict is met as a skip and told as what it is.
        strict = {place for place, job in enumerate(jobs) if self.skip and job.get("on_conflict") == "error"}
        for place in strict:
            jobs[place]["on_conflict"] = "skip"
        inserted = self._inserted(jobs, numbers, now)
        taken = {place for place in strict if inserted and inserted[place].deduplicated}
        bad.extend(_taken(numbers[place], jobs[place]["unique_key"], inserted[place].id) for place in sorted(taken))
        return [each for place, each in enumerate(inserted) if place not in taken] if taken else inserted

    def _inserted(self, jobs: list[NewJob], numbers: list[int], now: int) -> list[Inserted]:
        if self.store is None or not jobs:
            return []
        try:
            return self.store.insert(jobs, now=now)
        except UniqueTaken as taken:
            raise BadBatchError([_taken(numbers[taken.index], taken.key, taken.holder)], self.account) from None
        except KiribiError as error:
            raise self._stopped_by(error) from error

    def _stopped_by(self, error: KiribiError) -> KiribiError:
        return KiribiError(error.code, f"{error.message}; {self.account.sentence()}", hint=error.hint)


def _bounded(lines: list[bytes]) -> list[bytes]:
    """As many lines as a transaction may hold in bytes, one at least."""
    if sum(map(len, lines)) <= _BYTES_MAX:
        return lines
    length = 0
    for count, line in enumerate(lines):
        length += len(line)
        if length > _BYTES_MAX and count:
            return lines[:count]
    return lines


def _made(piece: Piece, make: Callable[[bytes], Made]) -> tuple[list[Made], list[int], list[BadLine]]:
    """What the lines come to, and their numbers; and those that cannot be."""
    made, numbers, bad = list[Made](), list[int](), list[BadLine]()
    for number, line in enumerate(piece.lines, piece.first):
        if not line or line.isspace():
            continue
        try:
            made.append(make(line))
            numbers.append(number)
        except KiribiError as error:
            bad.append(BadLine(number, error.code, _in_one_line(error)))
    return made, numbers, bad


def _runs(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Write ids as runs (first, last).

    >>> list(_runs([4, 5, 6, 2, 3])), list(_runs(range(4, 6)))
    ([(4, 6), (2, 3)], [(4, 5)])
    """
    if isinstance(ids, range):
        if ids:
            yield ids[0], ids[-1]
        return
    first = last = 0
    for each in ids:
        if each != last + 1:
            if first:
                yield first, last
            first = each
        last = each
    if first:
        yield first, last


def _taken(line: int, key: str | None, holder: int) -> BadLine:
    # The holder has no id yet if it would have been stored with this very transaction.
    by = f"job {holder}" if holder else "an earlier line"
    return BadLine(line, Code.CONFLICT, f'the unique key "{payloads.shown(key or "")}" is held by {by}')


def _in_one_line(error: KiribiError) -> str:
    problems = "; ".join(" ".join(line.split()) for line in error.details)
    return problems or error.message.removeprefix("the payload is ")
