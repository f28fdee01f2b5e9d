"""Reading the log of one attempt, finished or being written, packed or not. log.py says what the files look like."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, cast

from kiribi_cli.core.records import dataclass
from kiribi_cli.runner import log

Stream = Literal["out", "err"]
LINE_MAX = 1_048_576


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes as a job printed them. `offset` counts from the start of its output, both streams together.

    A piece with `missing` > 0 has no data: so many bytes of either stream were not kept.
    """

    stream: Literal["out", "err", "gap"]
    at_ms: int
    offset: int
    data: bytes = b""
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of one stream without its newline; `ended` is false where it had none: the last one, or an endless one."""

    stream: Literal["out", "err", "gap"]
    at_ms: int
    offset: int
    data: bytes
    ended: bool = True
    missing: int = 0


class Follower:
    """Reads a log as it grows: each call of `pieces` gives what is new, each byte once. The log need not exist yet."""

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._file: IO[bytes] | None = None
        # `_at` is the place in the output where `_file` stands; all before `offset` was given out.
        self._at = 0
        self._tail = -1
        self._head_place = (0, 0)
        self.offset = 0

    def pieces(self) -> Iterator[Piece]:
        """Give what was written since the last call; ends at what is not there yet."""
        while self._file is not None or self._open_head():
            yield from self._frames()
            found = self._next_file()
            if found is None:
                return
            # It was complete before the next one began, so whatever it got meanwhile is there by now.
            yield from self._frames()
            yield from self._turn_to(*found)

    def close(self) -> None:
        """Let go of the files."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open_head(self) -> bool:
        # Packing replaces the one by the other, so look again for the first after the second.
        for name in (self._path, f"{self._path}.gz", self._path):
            with suppress(FileNotFoundError):
                self._file = _open(name)
                return True
        return False

    def _frames(self) -> Iterator[Piece]:
        file = self._file
        if file is None:
            return
        while True:
            place = file.tell()
            line = file.readline(64)
            words = line.split()
            if not line.endswith(b"\n") or len(words) != 3 or not (words[1].isdigit() and words[2].isdigit()):
                file.seek(place)
                return
            size = int(words[2])
            if words[0] == b"at":
                continue
            if words[0] == b"gap":
                yield from self._gap(int(words[1]), size)
                continue
            data = file.read(size)
            if len(data) < size:
                file.seek(place)
                return
            yield from self._fresh(words[0], int(words[1]), data)

    def _fresh(self, stream: bytes, at_ms: int, data: bytes) -> Iterator[Piece]:
        start = self._at
        self._at += len(data)
        if self._at > self.offset:
            known = max(self.offset - start, 0)
            self.offset = self._at
            yield Piece("out" if stream == b"out" else "err", at_ms, start + known, data[known:])

    def _gap(self, at_ms: int, size: int) -> Iterator[Piece]:
        self._at += size
        if self._at > self.offset:
            missing = self._at - self.offset
            start, self.offset = self.offset, self._at
            yield Piece("gap", at_ms, start, missing=missing)

    def _next_file(self) -> tuple[int, str] | None:
        """Find where the output goes on: a tail file, or the head once the tails were appended to it."""
        parts = [(start, name) for start, _, name in log.tails(self._path) if start > self._tail]
        holding = [part for part in parts if part[0] <= self._at]
        if parts:
            return holding[-1] if holding else parts[0]
        if self._tail >= 0 and self._head_place[0] < _size(self._path):
            return (-1, self._path)
        return None

    def _turn_to(self, start: int, name: str) -> Iterator[Piece]:
        assert self._file is not None  # noqa: S101  (only called after reading from it)
        try:
            file = _open(name)
        except FileNotFoundError:
            return
        if self._tail < 0:
            self._head_place = (self._file.tell(), self._at)
        self._file.close()
        self._file = file
        if start < 0:
            place, self._at = self._head_place
            file.seek(place)
            self._tail = -1
            return
        first = file.readline(64).split()
        if first[:1] != [b"at"] or int(first[2]) != start:
            # Its name was given to a newer part between looking and opening; look again.
            start = int(first[2]) if len(first) == 3 else start
        self._tail = start
        self._at = start
        if start > self.offset:
            yield Piece("gap", int(first[1]) if len(first) == 3 else 0, self.offset, missing=start - self.offset)
            self.offset = start


def read(path: Path | str, *, stream: Stream | None = None, since: int | None = None) -> Iterator[Piece]:
    """Give the pieces of a log as it is now, in order; nothing for an attempt that printed nothing.

    With `stream` only those of one stream, with `since` only those written at or after that millisecond; gaps always.
    """
    follower = Follower(path)
    try:
        for piece in follower.pieces():
            if (since is None or piece.at_ms >= since) and (stream in (None, piece.stream) or piece.missing):
                yield piece
    finally:
        follower.close()


def lines(pieces: Iterable[Piece]) -> Iterator[Line]:
    """Put lines together, each stream for itself; a line has the time and place of its first byte.

    A line is given out when it is complete; what lacks its newline comes at a gap and at the end, or by the megabyte.
    """
    begun: dict[str, _Begun] = {}
    for piece in pieces:
        if piece.missing:
            yield from (line.cut(ended=False) for line in begun.values())
            begun = {}
            yield Line("gap", piece.at_ms, piece.offset, b"", missing=piece.missing)
        else:
            yield from _split(piece, begun)
    yield from (line.cut(ended=False) for line in begun.values())


class _Begun:
    """A line in the making; a bytearray, because a line may come byte by byte."""

    __slots__ = ("at_ms", "data", "offset", "stream")

    def __init__(self, piece: Piece, offset: int) -> None:
        self.stream = piece.stream
        self.at_ms = piece.at_ms
        self.offset = offset
        self.data = bytearray()

    def cut(self, *, ended: bool) -> Line:
        return Line(self.stream, self.at_ms, self.offset, bytes(self.data), ended)


def _split(piece: Piece, begun: dict[str, _Begun]) -> Iterator[Line]:
    line = begun.pop(piece.stream, None)
    place = piece.offset
    parts = piece.data.split(b"\n")
    for part in parts[:-1]:
        line = line or _Begun(piece, place)
        line.data += part
        yield line.cut(ended=True)
        line = None
        place += len(part) + 1
    if parts[-1]:
        line = line or _Begun(piece, place)
        line.data += parts[-1]
    if line is not None and len(line.data) >= LINE_MAX:
        yield line.cut(ended=False)
    elif line is not None:
        begun[piece.stream] = line


def compress(path: Path | str) -> Path:
    """Pack the log of an attempt that is over into `<path>.gz`, in one step for readers; gives the new path."""
    from gzip import GzipFile

    source, packed = Path(path), Path(f"{path}.gz")
    log.join(str(source))
    draft = Path(f"{path}.gz.new")
    opener = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with source.open("rb") as plain, os.fdopen(opener, "wb") as raw:
        with GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=6) as target:
            while block := plain.read(1 << 18):
                target.write(block)
        raw.flush()
        os.fsync(raw.fileno())
    draft.rename(packed)
    source.unlink()
    return packed


def _open(name: str) -> IO[bytes]:
    if name.endswith(".gz"):
        from gzip import open as unpacked

        return cast(IO[bytes], unpacked(name, "rb"))
    return Path(name).open("rb")


def _size(path: str) -> int:
    with suppress(FileNotFoundError):
        return Path(path).stat().st_size
    return 0
