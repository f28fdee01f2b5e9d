"""Writing the log of one attempt: bytes unchanged, each piece with its stream and time, in files of limited size.

Runs in the hands: stdlib only, and light. The format, as output.py reads it: a header line and exactly so many bytes:

    out 1764000000123 42        42 bytes of stdout, read at this millisecond
    err 1764000000125 7         the same of stderr
    gap 1764000000130 900       900 bytes are missing here
    at 1764000000140 5000       first line of a tail file: what follows begins at byte 5000 of the output

The first half of the cap goes to the file itself. What follows goes to small tail files used in turn, the oldest
being dropped, until the log is closed and they are appended: so memory is flat and the newest output always readable.
"""

import errno
import os
import stat

from kiribi_cli.clock import now_ms

TAIL_FILES = 9
# Room for one header; so that a cap of any size keeps at least a byte.
_HEADER = 32
_COPY = 1 << 20
# Nor do we wait for who reads a pipe that was put in the place of a log.
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# Whoever removes a folder does nothing else meanwhile.
_FOLDERS_MAX = 100
# A folder of /proc and a file in it, a handle of a process, and whoever knocks at the door; logs take some more.
_SPARE = 8


class Log:
    """The log of one attempt. Creates nothing until something is written; no error of the disk gets out.

    `total` counts the bytes that were printed, `kept` those that are in the log.
    """

    __slots__ = (
        "_ends",
        "_fd",
        "_half",
        "_keep",
        "_lost",
        "_part",
        "_path",
        "_room",
        "_size",
        "_tails",
        "_turn",
        "kept",
        "total",
    )

    def __init__(self, path: str, cap: int) -> None:
        self._path = path
        self._half = max(cap // 2, 1)
        # Eight parts make the tail, so never less than 7/8 of its half is kept; two are enough for a tiny cap.
        self._keep = 8 if self._half >= 8192 else 2
        self._part = max(self._half // self._keep, 1)
        self._room = self._half + _HEADER
        self._fd = -1
        self._size = 0
        self._lost = 0
        self._tails: list[list[int]] = []
        self._turn = 0
        self._ends: dict[str, int] = {}
        self.total = 0
        self.kept = 0

    def write(self, stream: bytes, data: bytes) -> None:
        """Append a piece of `stream` (b"out" or b"err"), read just now."""
        now = now_ms()
        if len(data) + _HEADER <= self._room:
            self._append(now, stream, data)
            return
        if not self._tails:
            data = self._fill(now, stream, data)
        if len(data) > self._half:
            # It would be overwritten by the rest of the same piece.
            self._lose(len(data) - self._half)
            data = data[-self._half :]
        while data:
            if self._room <= _HEADER:
                self._begin_tail(now)
            data = self._fill(now, stream, data)

    def close(self) -> None:
        """End the log: append the tail to the head. Where that fails, the tail files stay and are read as they are."""
        self._finish(now_ms())
        if self._tails:
            join(self._path, self._ends)

    def _finish(self, now: int) -> None:
        """Be done with the present file, and remember up to which byte of the output it goes."""
        self._note_loss(now)
        self._close_fd()
        name = tail_path(self._path, self._tails[-1][0]) if self._tails else self._path
        self._ends[name] = self.total - self._lost

    def _fill(self, now: int, stream: bytes, data: bytes) -> bytes:
        """Write what fits into the present file and give back the rest."""
        fits = max(self._room - _HEADER, 0)
        if fits:
            self._append(now, stream, data[:fits])
        return data[fits:]

    def _append(self, now: int, stream: bytes, data: bytes) -> None:
        record = b"%b %d %d\n%b" % (stream, now, len(data), data)
        self._room -= len(record)
        if not (self._open(now) and self._note_loss(now) and self._put(record)):
            self._lose(len(data))
            return
        self.total += len(data)
        self.kept += len(data)
        if self._tails:
            self._tails[-1][1] += len(data)

    def _lose(self, count: int) -> None:
        self.total += count
        self._lost += count

    def _note_loss(self, now: int) -> bool:
        if self._lost and self._open(now):
            if not self._put(b"gap %d %d\n" % (now, self._lost)):
                return False
            self._lost = 0
        return not self._lost

    def _begin_tail(self, now: int) -> None:
        """Begin a new tail file, dropping the oldest when there are enough."""
        self._finish(now)
        if len(self._tails) >= self._keep:
            turn, kept = self._tails.pop(0)
            remove(tail_path(self._path, turn))
            self.kept -= kept
        remove(tail_path(self._path, self._turn))
        self._tails.append([self._turn, 0])
        self._turn += 1
        self._room = self._part + _HEADER

    def _open(self, now: int) -> bool:
        if self._fd >= 0:
            return True
        path = tail_path(self._path, self._tails[-1][0]) if self._tails else self._path
        try:
            self._fd = os.open(path, _APPEND, 0o600)
            spare_the_last(self._fd)
            status = os.fstat(self._fd)
            self._size = status.st_size
            is_file = stat.S_ISREG(status.st_mode)
        except OSError:
            is_file = False
        if not is_file:
            self._close_fd()
            return False
        if not self._tails or self._size:
            return True
        if self._put(b"at %d %d\n" % (now, self.total)):
            self._lost = 0
            return True
        self._close_fd()
        return False

    def _put(self, record: bytes) -> bool:
        """Write a whole record or nothing of it: a full disk must not leave half a header behind."""
        done = 0
        try:
            while done < len(record):
                done += os.write(self._fd, record[done:] if done else record)
        except OSError:
            self._undo()
            return False
        self._size += len(record)
        return True

    def _undo(self) -> None:
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._close_fd()

    def _close_fd(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def spare_the_last(fd: int) -> None:
    """Raise OSError when this descriptor is one of the last that we may open: the hands need some to look at
    processes and to end them, which must never fail for want of a descriptor.
    """
    if fd >= os.sysconf("SC_OPEN_MAX") - _SPARE > 0:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def tail_path(path: str, turn: int) -> str:
    """Name the file of a part of the tail; the names are used in turn."""
    return f"{path}.t{turn % TAIL_FILES}"


def tails(path: str) -> list[tuple[int, int, str]]:
    """List the tail files there are as (first byte, length of the first line, path), in the order of the output."""
    found = []
    for turn in range(TAIL_FILES):
        name = tail_path(path, turn)
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                line = os.read(fd, 64)
            finally:
                os.close(fd)
        except OSError:
            continue
        line = line[: line.find(b"\n") + 1]
        word, size = _header(line)
        if word == b"at":
            found.append((size, len(line), name))
    return sorted(found)


def _header(line: bytes) -> tuple[bytes, int]:
    """Read the line before a piece; (b"", 0) where it is no such line."""
    words = line.split()
    if len(words) != 3 or not (words[2].isdigit() and line.endswith(b"\n")) or len(words[2]) > 15:
        return b"", 0
    return words[0], int(words[2])


def join(path: str, ends: dict[str, int] | None = None) -> bool:
    """Append the tail files to the log and remove them; false, and all as before, when the disk does not let it.

    `ends` says up to which byte of the output each file goes, where that is known. A reader in the middle of it sees
    every byte once: it goes by the position in the output, not in a file.
    """
    parts = tails(path)
    if not parts:
        return True
    try:
        head = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return False
    size = os.fstat(head).st_size
    try:
        _copy_all(head, path, parts, ends or {})
    except OSError:
        os.ftruncate(head, size)
        return False
    finally:
        os.close(head)
    for _, _, name in parts:
        remove(name)
    return True


def _copy_all(head: int, path: str, parts: list[tuple[int, int, str]], ends: dict[str, int]) -> None:
    at = ends[path] if path in ends else _length(path)
    for start, skip, name in parts:
        if start > at:
            _write_all(head, b"gap %d %d\n" % (now_ms(), start - at))
        with open(name, "rb", buffering=0) as part:  # noqa: PTH123  (as above)
            part.seek(skip)
            while block := part.read(_COPY):
                _write_all(head, block)
        at = ends[name] if name in ends else start + _length(name)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _length(path: str) -> int:
    """Count the bytes of output that a file stands for, gaps included."""
    length = 0
    with open(path, "rb") as file:  # noqa: PTH123  (as above)
        while line := file.readline(64):
            word, size = _header(line)
            if not word:
                break  # damaged: the rest has no place that anybody knows
            if word != b"at":
                length += size
                file.seek(size if word != b"gap" else 0, 1)
    return length


def remove(path: str) -> None:
    """Delete a file if it is there and can be; a folder, where a job has made one in the place of a file of its own."""
    try:
        os.unlink(path)  # noqa: PTH108  (as above)
    except IsADirectoryError:
        _remove_folder(path)
    except OSError:
        return


def _remove_folder(path: str) -> None:
    folders: list[str] = []
    try:
        # By descriptors, and no link is followed: nothing outside of it can be hit.
        for folder, inner, files, fd in os.fwalk(path):
            folders.append(folder)
            for name in (*files, *inner):
                try:
                    os.unlink(name, dir_fd=fd)
                except IsADirectoryError:
                    continue
            if len(folders) > _FOLDERS_MAX:
                break
        for folder in reversed(folders):
            os.rmdir(folder)  # noqa: PTH106  (as above)
    except OSError:
        return  # not ours to remove, or too much of it: it stays
