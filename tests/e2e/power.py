"""A disk whose power fails: what of a traced program's writes it would hold at each moment, as badly as it is allowed to.

Sure is only what was fsynced: of a file its bytes, of a folder its names. Of the rest any subset may have arrived, torn
at sectors. `-shm` files are memory, and lost.
"""

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
CALLS = "openat,mkdir,unlink,rename,fsync,fdatasync,pwrite64,write,ftruncate"

_BEGUN = re.compile(r"(\d+) +(\d+\.\d+) (?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_OPEN_FILE = re.compile(r"(\d+)<((?:\\x[0-9a-f]{2})*)>")
_NUMBERS = re.compile(r", (\d+)(?=[,)])")
_RESULT = re.compile(r"\) += (-?\d+)")


@dataclass(frozen=True)
class Op:
    """A system call that succeeded: `path` is the file it is about, `other` a second one, `numbers` what else it was given."""

    at: float
    pid: int
    call: str
    path: str
    fd: int = -1
    data: bytes = b""
    other: str = ""
    numbers: tuple[int, ...] = ()
    creates: bool = False


def traced(log: Path) -> list[str]:
    """Put this before a program: what it does to files is added to `log`."""
    settings = ["-A", "-f", "-qq", "-ttt", "-y", "-xx", "-s", "200000", "-e", "signal=none", "--seccomp-bpf"]
    return ["strace", *settings, "-e", f"trace={CALLS}", "-o", str(log)]


def ops(log: Path) -> Iterator[Op]:
    """Read a trace, each call where it ended."""
    begun: dict[str, str] = {}
    for line in log.read_text("ascii").splitlines():
        match = _BEGUN.match(line)
        if not match:
            continue
        pid, at, call, rest, resumed, more = match.groups()
        if resumed:
            call, rest = resumed, begun.pop(pid) + more
        if rest.endswith(" <unfinished ...>"):
            begun[pid] = rest.removesuffix(" <unfinished ...>")
        elif (result := _RESULT.search(rest)) and int(result[1]) >= 0:
            yield _op(float(at), int(pid), call, rest)


def _op(at: float, pid: int, call: str, rest: str) -> Op:
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(rest)]
    if call in ("openat", "mkdir", "unlink", "rename"):
        names = [text.decode() for text in texts]
        return Op(at, pid, call, names[0], other=names[-1], creates="O_CREAT" in rest)
    handle = _OPEN_FILE.match(rest)
    assert handle, rest[:200]
    path = bytes.fromhex(handle[2].replace("\\x", "")).decode()
    # What follows the text, so that no digit in it is taken for a number.
    numbers = tuple(int(number) for number in _NUMBERS.findall(rest[rest.rfind('"') + 1 :]))
    return Op(at, pid, call, path, fd=int(handle[1]), data=texts[0] if texts else b"", numbers=numbers)


@dataclass(eq=False)
class Inode:
    sure: bytearray = field(default_factory=bytearray)
    # Writes as (offset, bytes); a new length as a number.
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)
    is_folder: bool = False

    def sync(self) -> None:
        for write in self.pending:
            _apply(self.sure, write)
        self.pending.clear()

    def after_a_cut(self, dice: random.Random, keep: float) -> bytes:
        left = bytearray(self.sure)
        for write in self.pending:
            for piece in [write] if isinstance(write, int) else _sectors(*write):
                if dice.random() < keep:
                    _apply(left, piece)
        return bytes(left)


class Disk:
    """A folder tree as it was written to by a list of Ops. `under` and what is in it is all that is looked at."""

    def __init__(self, under: Path) -> None:
        self.under = str(under)
        self.names: dict[str, Inode] = {}
        self.sure: dict[str, Inode] = {}
        # (folder, name that goes, name that comes, what it names)
        self.pending: list[tuple[str, str, str, Inode]] = []

    def holds_already(self, path: Path) -> None:
        """Begin with this file, and the folder it is in."""
        self.names[str(path)] = self.sure[str(path)] = Inode(bytearray(path.read_bytes()))

    def does(self, op: Op) -> None:
        if not self.holds(op.path) or op.path.endswith("-shm"):
            return
        inode = self.names.get(op.path)
        match op.call:
            case "openat" | "mkdir" if inode is None and (op.creates or op.call == "mkdir"):
                self._name("", op.path, Inode(is_folder=op.call == "mkdir"))
            case "unlink" if inode:
                self._name(op.path, "", inode)
            case "rename" if inode:
                self._name(op.path, op.other, inode)
            case "fsync" | "fdatasync":
                self._sync(op.path)
            case "pwrite64" if inode:
                inode.pending.append((op.numbers[-1], op.data))
            case "ftruncate" if inode:
                inode.pending.append(op.numbers[-1])
            case "write" if op.path.startswith(f"{self.under}/kiribi.db"):
                raise AssertionError("SQLite writes at offsets")

    def holds(self, path: str) -> bool:
        """Whether it is in the folder, or a folder above."""
        return path.startswith(self.under) or self.under.startswith(f"{path}/")

    def _name(self, gone: str, come: str, inode: Inode) -> None:
        self.names.pop(gone, None)
        if come:
            self.names[come] = inode
        folder = str(Path(come or gone).parent)
        self.pending.append((folder, gone, come, inode))

    def _sync(self, path: str) -> None:
        if path in self.names:
            self.names[path].sync()
        for change in [change for change in self.pending if change[0] == path]:
            self.pending.remove(change)
            _rename(self.sure, change)

    def after_a_cut(self, dice: random.Random) -> dict[str, bytes]:
        """Give the files that the disk may hold, by their paths."""
        keep_names, keep_writes = (dice.choice((0.0, 0.2, 0.5, 0.9, 1.0)) for _ in range(2))
        names = dict(self.sure)
        for change in self.pending:
            if dice.random() < keep_names:
                _rename(names, change)
        return {
            path: inode.after_a_cut(dice, keep_writes)
            for path, inode in sorted(names.items(), key=lambda item: item[0])
            if not inode.is_folder and self._is_reachable(path, names)
        }

    def _is_reachable(self, path: str, names: dict[str, Inode]) -> bool:
        """Whether each folder on its way that was made in the trace is there."""
        return all(str(folder) in names for folder in Path(path).parents if str(folder) in self.names)


def cuts(trace: Iterable[Op], disk: Disk) -> Iterator[Op]:
    """Replay on the disk; stop before each moment at which less can be lost than before, and before each word said.

    Between two such moments the disk can only hold what it could hold at the second one: any subset of fewer writes.
    """
    for op in trace:
        if (disk.holds(op.path) and op.call in ("fsync", "fdatasync", "unlink", "rename")) or op.fd == 1:
            yield op
        disk.does(op)


def _apply(content: bytearray, write: tuple[int, bytes] | int) -> None:
    if isinstance(write, int):
        del content[write:]
        content.extend(bytes(write - len(content)))
        return
    offset, data = write
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        size = SECTOR - (offset + at) % SECTOR
        yield offset + at, data[at : at + size]
        at += size


def _rename(names: dict[str, Inode], change: tuple[str, str, str, Inode]) -> None:
    _, gone, come, inode = change
    names.pop(gone, None)
    if come:
        names[come] = inode
