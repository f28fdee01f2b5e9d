"""What jobs printed: read it, or follow it while they run, over retries, several jobs at once."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Literal

from kiribi_cli import clock
from kiribi_cli.core.job import FINISHED, Attempt, Job
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.runner.output import LINE_MAX, Follower, Line, Piece, Stream, read
from kiribi_cli.store.base import Store

# Prompt enough to be called live (200 ms), seldom enough to cost next to nothing.
POLL = 0.05
# Whether anything changed is asked at each poll; this is for what a database cannot tell, such as a dead worker.
LOOK_AGAIN = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of the logs. `attempt` None: the latest. Times in milliseconds. `last`: so many lines at the end."""

    attempt: int | Literal["all"] | None = None
    stream: Stream | None = None
    since: int | None = None
    until: int | None = None
    grep: re.Pattern[bytes] | None = None
    last: int | None = None

    @property
    def by_line(self) -> bool:
        """Whether lines have to be put together to know what is wanted."""
        return self.grep is not None or self.last is not None


@dataclass(frozen=True, slots=True)
class Printed:
    """A piece that a job printed, as it came."""

    job_id: int
    job: str
    attempt: int
    piece: Piece


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """A line that a job printed."""

    job_id: int
    job: str
    attempt: int
    line: Line


def pieces(store: Store, logs: Path, jobs: Sequence[Job], wanted: Wanted) -> Iterator[Printed]:
    """What is there now, job after job, attempt after attempt, bytes unchanged.

    Raises NOT_FOUND for an attempt that there was not, or whose log is removed.
    """
    for job in jobs:
        for attempt in _attempts(store, job, wanted.attempt):
            found = read(_path(logs, attempt), stream=wanted.stream, since=wanted.since, kept=_kept(attempt))
            for piece in _readable(found, attempt):
                if wanted.until is None or piece.at_ms < wanted.until:
                    yield Printed(job.id, job.job, attempt.attempt, piece)


def _kept(attempt: Attempt) -> int | None:
    """Say how much there should be of a log to which nothing is added any more; None: it may grow."""
    return None if attempt.finished_at is None else attempt.log_bytes or 0


def _readable(found: Iterator[Piece], attempt: Attempt) -> Iterator[Piece]:
    try:
        yield from found
    except OSError as error:
        sentence = (
            f"the log of job {attempt.job_id}, attempt {attempt.attempt}, cannot be read: {error.strerror or error}"
        )
        raise KiribiError(
            Code.FAILED, sentence, hint=f"kiribi logs {attempt.job_id} --path says where it is"
        ) from error


def by_line(printed: Iterable[Printed], wanted: Wanted) -> Iterator[PrintedLine]:
    """Put lines together and choose among them. With `last` only the last ones, known when `printed` ends."""
    makers = _Makers(wanted)
    chosen = chain((line for one in printed for line in makers.feed(one)), _later(makers.rest))
    yield from chosen if wanted.last is None else deque(chosen, maxlen=wanted.last)


def _later(make: Callable[[], Iterable[PrintedLine]]) -> Iterator[PrintedLine]:
    yield from make()


class _Makers:
    """Lines in the making, for each job and stream. A new attempt of a job ends what the one before left unended."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._begun: dict[tuple[int, int, str], _Begun] = {}

    def feed(self, one: Printed) -> Iterator[PrintedLine]:
        piece = one.piece
        old = [key for key in self._begun if key[0] == one.job_id and (key[1] != one.attempt or piece.missing)]
        yield from self._cut(old)
        if piece.missing:
            gap = Line("gap", piece.at_ms, piece.offset, b"", missing=piece.missing)
            yield PrintedLine(one.job_id, one.job, one.attempt, gap)
            return
        key, place = (one.job_id, one.attempt, piece.stream), piece.offset
        for part in _split(piece.data):
            begun = self._begun.pop(key, None) or _Begun(one, place)
            place += len(part)
            begun.data += part
            if part.endswith(b"\n") or len(begun.data) >= LINE_MAX:
                yield from self._chosen(begun.line())
            else:
                self._begun[key] = begun

    def rest(self) -> Iterator[PrintedLine]:
        """What never got its newline."""
        yield from self._cut(list(self._begun))

    def _cut(self, keys: Iterable[tuple[int, int, str]]) -> Iterator[PrintedLine]:
        for key in keys:
            yield from self._chosen(self._begun.pop(key).line())

    def _chosen(self, one: PrintedLine) -> Iterator[PrintedLine]:
        if self._wanted.grep is None or _matches(one.line, self._wanted.grep):
            yield one


class _Begun:
    """A line in the making; a bytearray, because a line may come byte by byte."""

    __slots__ = ("_offset", "_one", "data")

    def __init__(self, one: Printed, offset: int) -> None:
        self._one = one
        self._offset = offset
        self.data = bytearray()

    def line(self) -> PrintedLine:
        """Give it as it is now."""
        piece, data = self._one.piece, bytes(self.data)
        line = Line(piece.stream, piece.at_ms, self._offset, data.removesuffix(b"\n"), ended=data.endswith(b"\n"))
        return PrintedLine(self._one.job_id, self._one.job, self._one.attempt, line)


def _split(data: bytes) -> list[bytes]:
    parts = [part + b"\n" for part in data.split(b"\n")]
    parts[-1] = parts[-1][:-1]
    return [part for part in parts if part]


def _matches(line: Line, pattern: re.Pattern[bytes]) -> bool:
    return line.stream != "gap" and pattern.search(line.data) is not None


def _attempts(store: Store, job: Job, which: int | Literal["all"] | None) -> list[Attempt]:
    found = store.attempts(job.id)
    if which == "all":
        return found
    if which is None:
        return found[-1:]
    chosen = [attempt for attempt in found if attempt.attempt == which]
    if not chosen:
        there = ", ".join(str(attempt.attempt) for attempt in found) or "none yet"
        raise KiribiError(Code.NOT_FOUND, f"job {job.id} has no attempt {which}", hint=f"there is: {there}")
    return chosen


def _path(logs: Path, attempt: Attempt) -> Path:
    path = logs / str(attempt.id)
    if attempt.log_bytes and attempt.finished_at is not None and not _is_there(path):
        sentence = (
            f"the log of job {attempt.job_id}, attempt {attempt.attempt}, was removed by retention, or by somebody"
        )
        raise KiribiError(
            Code.NOT_FOUND, sentence, hint="logs.total and retention in jobs.toml say how long logs are kept"
        )
    return path


def _is_there(path: Path) -> bool:
    return any(path.parent.glob(f"{path.name}.*")) if not path.exists() else True


class Following:
    """Follow jobs from their current attempts to their ends. `until`: a time of clock.monotonic(), None: for ever.

    `timed_out` tells afterwards whether `until` came first.
    """

    def __init__(
        self, store: Store, logs: Path, jobs: Sequence[Job], wanted: Wanted, *, until: float | None = None
    ) -> None:
        self.timed_out = False
        self._store = store
        self._wanted = wanted
        self._until = until
        self._tracks = [_Track(job, logs) for job in jobs]

    def printed(self) -> Iterator[Printed]:
        """Everything that is printed from the first wanted attempt on, as it comes; ends when every job has ended."""
        for round_ in self._rounds():
            yield from round_

    def by_line(self) -> Iterator[PrintedLine]:
        """The same in whole lines: first the last ones of what is there, then each as it ends."""
        makers = _Makers(self._wanted)
        for number, round_ in enumerate(self._rounds()):
            fresh = (line for one in round_ for line in makers.feed(one))
            if number == 0 and self._wanted.last is not None:
                there = deque(fresh, maxlen=self._wanted.last)
                there.extend(makers.rest() if self._over() else ())
                yield from there
            else:
                yield from fresh
        yield from makers.rest()

    def _over(self) -> bool:
        return all(track.over for track in self._tracks)

    def _rounds(self) -> Iterator[Iterator[Printed]]:
        """Look, and look again; each round gives what is new. The first gives what was there before."""
        for track in self._tracks:
            track.look(self._store, self._wanted, first=True)
        for polls in count(1):
            yield chain.from_iterable(self._fresh(track) for track in self._tracks)
            if self._over():
                return
            if self._until is not None and clock.monotonic() >= self._until:
                self.timed_out = True
                return
            clock.sleep(POLL)
            if self._store.changed() or polls % LOOK_AGAIN == 0:
                for track in self._tracks:
                    track.look(self._store, self._wanted)

    def _fresh(self, track: "_Track") -> Iterator[Printed]:
        for printed in track.fresh():
            piece = printed.piece
            fits = self._wanted.stream in (None, piece.stream) or piece.missing
            since, until = self._wanted.since, self._wanted.until
            if fits and (since is None or piece.at_ms >= since) and (until is None or piece.at_ms < until):
                yield printed


class _Track:
    """One job that is followed: its attempts in turn."""

    def __init__(self, job: Job, logs: Path) -> None:
        self._job = job
        self._logs = logs
        self._queue: deque[Attempt] = deque()
        self._seen = 0
        self._follower: Follower | None = None
        self._ended = False

    @property
    def over(self) -> bool:
        return self._ended and not self._queue

    def look(self, store: Store, wanted: Wanted, *, first: bool = False) -> None:
        """See how the job stands. The job is read first: an attempt that begins in between is then not missed."""
        job = store.job(self._job.id, now=clock.now_ms())
        attempts = store.attempts(self._job.id)
        if first and wanted.attempt is None and attempts:
            self._seen = attempts[-1].id - 1
        known = {attempt.id: attempt for attempt in attempts}
        self._queue = deque(known.get(attempt.id, attempt) for attempt in self._queue)
        one = wanted.attempt if isinstance(wanted.attempt, int) else None
        for attempt in attempts:
            if attempt.id > self._seen:
                self._seen = attempt.id
                if one is None or attempt.attempt == one:
                    self._queue.append(attempt)
        only_one_is_over = one is not None and any(a.attempt == one and a.finished_at is not None for a in attempts)
        self._ended = job is None or job.status in FINISHED or only_one_is_over

    def fresh(self) -> Iterator[Printed]:
        while self._queue:
            attempt = self._queue[0]
            if self._follower is None:
                self._follower = Follower(self._logs / str(attempt.id))
            self._follower.kept = _kept(attempt)
            for piece in _readable(self._follower.pieces(), attempt):
                yield Printed(self._job.id, self._job.job, attempt.attempt, piece)
            if attempt.finished_at is None and not self._ended:
                return
            # Its end was known before this reading, so nothing more can come.
            self._follower.close()
            self._follower = None
            self._queue.popleft()
