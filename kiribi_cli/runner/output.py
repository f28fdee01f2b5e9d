"""Reading the log of one attempt, finished or being written, packed or not. log.py says what the files look like.

Files can be cut off, overwritten or taken away. What can be read is given, and each piece that cannot says how much.
"""

import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Literal, cast

from kiribi_cli.core.records import dataclass
from kiribi_cli.runner import log

Stream = Literal["out", "err"]
LINE_MAX = 1_048_576
# Two sizes that hands never write: what claims to be longer is no header of theirs.
_PIECE_MAX = 1 << 26
_GAP_MAX = 1 << 50
_HEADER = re.compile(rb"(out|err|gap|at) (\d{1,15}) (\d{1,15})\n")
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes as a job printed them. `offset` counts from the start of its output, both streams together.

    A piece with `missing` > 0 has no data: so many bytes of either stream were not kept, or cannot be read any more.
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
    """Reads a log as it grows: each call of `pieces` gives what is new, each byte once. The log need not exist yet.

    `kept` is set once nobody writes any more: so many bytes of output should be there. Then what was cut off is given
    as well, and told where something lacks.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._file: IO[bytes] | None = None
        # `_at` is the place in the output where `_file` stands; all before `offset` was given out.
        self._at = 0
        self._tail = -1
        self._head_place = (0, 0)
        self._given = 0
        self._at_ms = 0
        self._is_whole = True
        self.offset = 0
        self.kept: int | None = None

    def pieces(self) -> Iterator[Piece]:
        """Give what was written since the last call; ends at what is not there yet. Raises OSError."""
        while self._file is not None or self._open_head():
            yield from self._frames()
            found = self._next_file()
            if found is None:
                break
            # It was complete before the next one began, so whatever it got meanwhile is there by now.
            yield from self._frames()
            yield from self._turn_to(*found)
        if self.kept is not None and self._is_whole and self._given < self.kept:
            yield from self._damage(self.kept - self._given)

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
        if self.kept is not None and log.tails(self._path):
            self._file = BytesIO()
        return self._file is not None

    def _frames(self) -> Iterator[Piece]:
        file = self._file
        if file is None:
            return
        while True:
            place = file.tell()
            line = _read(file, 64, line=True)
            if not line:
                if self._was_cut(place):
                    file.seek(0)
                    continue
                return
            header = _HEADER.fullmatch(line)
            size = int(header[3]) if header else 0
            if header is None or size > (_GAP_MAX if header[1] in (b"gap", b"at") else _PIECE_MAX):
                if self.kept is None and len(line) < 64 and not line.endswith(b"\n"):
                    _seek(file, place)
                    return
                if self._path != getattr(file, "name", self._path):
                    self._file = file = _unpacked(file, place)
                    place = 0
                yield from self._damage(_skip(file, place, over=self.kept is not None))
                continue
            self._at_ms = int(header[2])
            if header[1] == b"gap":
                yield from self._gap(size)
            elif header[1] != b"at":
                data = _read(file, size)
                if len(data) < size and self.kept is None:
                    _seek(file, place)
                    return
                yield from self._fresh(header[1], data)
                if len(data) < size:
                    yield from self._damage(size - len(data))

    def _fresh(self, stream: bytes, data: bytes) -> Iterator[Piece]:
        start = self._at
        self._at += len(data)
        if self._at > self.offset:
            known = max(self.offset - start, 0)
            self.offset = self._at
            self._given += len(data) - known
            yield Piece("out" if stream == b"out" else "err", self._at_ms, start + known, data[known:])

    def _gap(self, size: int) -> Iterator[Piece]:
        self._at += size
        if self._at > self.offset:
            missing = self._at - self.offset
            start, self.offset = self.offset, self._at
            yield Piece("gap", self._at_ms, start, missing=missing)

    def _damage(self, size: int) -> Iterator[Piece]:
        for piece in self._gap(size):
            self._is_whole = False
            yield piece

    def _was_cut(self, place: int) -> bool:
        """Tell whether somebody made the file shorter than what was read of it: then it goes on from its start."""
        assert self._file is not None  # noqa: S101  (only called while reading it)
        if not place or self._path != getattr(self._file, "name", ""):
            return False
        return os.fstat(self._file.fileno()).st_size < place

    def _next_file(self) -> tuple[int, str] | None:
        """Find where the output goes on: a tail file, or the head once the tails were appended to it."""
        there = log.tails(self._path)
        parts = [(start, name) for start, _, name in there if start > self._tail]
        holding = [part for part in parts if part[0] <= self._at]
        if parts:
            return holding[-1] if holding else parts[0]
        if not there and self._tail >= 0 and self._head_place[0] < _size(self._path):
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
            _seek(file, place)
            self._tail = -1
            return
        # Its name may have been given to a newer part between looking and opening: its own first line says.
        first = _HEADER.fullmatch(_read(file, 64, line=True))
        start = int(first[3]) if first and first[1] == b"at" else start
        self._tail = start
        self._at = start
        if start > self.offset:
            at_ms = int(first[2]) if first else self._at_ms
            yield Piece("gap", at_ms, self.offset, missing=start - self.offset)
            self.offset = start


def read(
    path: Path | str, *, stream: Stream | None = None, since: int | None = None, kept: int | None = None
) -> Iterator[Piece]:
    """Give the pieces of a log as it is now, in order; nothing for an attempt that printed nothing. Raises OSError.

    With `stream` only those of one stream, with `since` only those written at or after that millisecond; gaps always.
    `kept`: as in Follower, for an attempt that is over.
    """
    follower = Follower(path)
    follower.kept = kept
    try:
        for piece in follower.pieces():
            if (since is None or piece.at_ms >= since) and (stream in (None, piece.stream) or piece.missing):
                yield piece
    finally:
        follower.close()


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
    # A pipe in the place of a log must not make anybody wait.
    file = open(name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{name} is no file")
    if name.endswith(".gz"):
        from gzip import open as unpacked

        file.close()
        return cast(IO[bytes], unpacked(name, "rb"))
    return file


def _seek(file: IO[bytes], place: int) -> None:
    with suppress(EOFError, zlib.error, OSError):
        file.seek(place)


def _read(file: IO[bytes], size: int, *, line: bool = False) -> bytes:
    """Read on; a packed file that is damaged ends where it is."""
    try:
        return file.readline(size) if line else file.read(size)
    except (EOFError, zlib.error, OSError):
        return b""


def _unpacked(file: IO[bytes], place: int) -> IO[bytes]:
    """Give the rest of a packed file as one in which going back costs nothing."""
    from tempfile import TemporaryFile

    plain = cast(IO[bytes], TemporaryFile())  # noqa: SIM115  (the follower closes it)
    _seek(file, place)
    while block := _read(file, _BLOCK):
        plain.write(block)
    plain.seek(0)
    file.close()
    return plain


def _skip(file: IO[bytes], place: int, *, over: bool) -> int:
    """Go to the next header after `place`, or to the end; gives how many bytes were skipped."""
    _seek(file, place)
    at = place
    held = _read(file, _BLOCK)
    while held:
        found = _HEADER.search(held, 1 if at == place else 0)
        if found:
            at += found.start()
            break
        more = _read(file, _BLOCK)
        # What follows the last newline may be the beginning of a header.
        keep = len(held) if not more and over else max(held.rfind(b"\n") + 1, len(held) - 40, 1)
        at += keep
        if not more:
            break
        held = held[keep:] + more
    _seek(file, at)
    return at - place


def _size(path: str) -> int:
    with suppress(FileNotFoundError):
        return Path(path).stat().st_size
    return 0
