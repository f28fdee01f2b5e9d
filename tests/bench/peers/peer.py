"""A peer behind the verbs that parts of the benchmark use. Most are a script of a few functions and a worker's command."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.bench.measure import MARKS, WrongCountError, cpu_ms, family, ran_once, rss_mb
from tests.bench.peers.environment import Environment, sentence

SCRIPTS = Path(__file__).parent / "scripts"


class Peer(Protocol):
    """`parts` names the parts it takes part in; only the verbs of those work."""

    name: str
    note: str
    parts: frozenset[str]
    # Of Python or Node: kiribi is to be twice as fast as these, where a C program starts in a millisecond.
    interpreted: bool
    # Runs one job at a time, whatever is asked.
    single: bool
    folder: Path
    variables: Mapping[str, str]

    def one(self) -> Sequence[str]:
        """The command that enqueues one job."""

    def waiting(self) -> int:
        """Say how many jobs are stored and not done."""

    def clear(self) -> None:
        """Forget all jobs."""

    def bulk(self, count: int) -> float:
        """Enqueue many from one process; answers jobs a second."""

    def drain(self, count: int, slots: int) -> float:
        """Run `true` for every job, and check that each ran once; answers jobs a second."""

    def calls(self, count: int) -> float:
        """Call a function that does next to nothing, in two children; as drain."""

    def latency(self, count: int) -> list[float]:
        """Milliseconds from a returned enqueue to a started job, one at a time."""

    def idle(self, seconds: float) -> tuple[float, float, int]:
        """Answers the CPU ms a second, the memory in MB and the processes of a worker that has nothing to do."""


class Guest:
    """A peer in one part. When it fails it is asked no more, and the part goes on without it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.name, self.note, self.interpreted = peer.name, peer.note, peer.interpreted
        self.trouble = ""
        # It lost a job, or ran one twice: not just broken.
        self.is_wrong = False

    def ask(self, measure: Callable[[Peer], float], kept: list[float]) -> None:
        """Append what was measured."""
        self.ask_many(lambda peer: [measure(peer)], kept)

    def ask_many(self, measure: Callable[[Peer], Sequence[float]], kept: list[float]) -> None:
        if self.trouble:
            return
        try:
            kept += measure(self.peer)
        except (WrongCountError, OSError, subprocess.SubprocessError, ValueError) as error:
            kept.clear()
            self.trouble = sentence(error) or type(error).__name__
            self.is_wrong = isinstance(error, WrongCountError)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a scripted peer is made of. `workers(slots)` gives the commands that together run so many jobs at once."""

    name: str
    note: str
    script: str
    parts: frozenset[str]
    packages: tuple[str, ...]
    workers: Callable[[int], Sequence[Sequence[str]]]
    server: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    # How many times more rows or calls than others it needs to be busy for a while.
    pace: int = 1


class Scripted:
    """A peer whose tasks, and the code that enqueues them, are a module in scripts/; its own program works them off."""

    interpreted = True
    single = False

    def __init__(self, kind: Kind, environment: Environment, variables: Mapping[str, str], folder: Path) -> None:
        self.name, self.note, self.parts, self.folder = kind.name, kind.note, kind.parts, folder
        self.kind = kind
        own = environment.bin(kind.packages)
        path = os.pathsep.join([str(own), environment.variables["PATH"]])
        said = {"PATH": path, "PYTHONPATH": str(folder)}
        self.variables = {**environment.variables, **variables, **kind.settings, **said}
        self.node = kind.script.endswith(".mjs")
        self.python = str(own / "python")
        folder.mkdir()
        shutil.copy(SCRIPTS / kind.script, folder / f"jobs{Path(kind.script).suffix}")
        (folder / "marks.py").write_text(MARKS)
        if self.node:
            (folder / "node_modules").symlink_to(environment.folder / "node/node_modules")
        else:
            shutil.copy(SCRIPTS / "common.py", folder / "common.py")
        self._say("setup")

    def one(self) -> Sequence[str]:
        return self._call("one")

    def waiting(self) -> int:
        return int(self._say("waiting"))

    def clear(self) -> None:
        self._say("clear")
        (self.folder / "ran").unlink(missing_ok=True)

    def bulk(self, count: int) -> float:
        count *= self.kind.pace
        self.clear()
        seconds = float(self._say("fill", "mark", count))
        if (found := self.waiting()) != count:
            raise WrongCountError(f"{self.name} keeps {found} of {count} jobs")
        return count / seconds

    def drain(self, count: int, slots: int) -> float:
        return self._work_off("run_true", count, slots)

    def calls(self, count: int) -> float:
        return self._work_off("mark", count * self.kind.pace, 2)

    def _work_off(self, task: str, count: int, slots: int) -> float:
        self.clear()
        self._say("fill", task, count)
        with self._workers(slots):
            self._until_ran(count)
            # One that runs a job twice has a moment to do it.
            time.sleep(0.2)
        spans = ran_once(self.folder, count)
        return count / max(1e-9, (max(end for _, end in spans) - min(begin for begin, _ in spans)) / 1e9)

    def _until_ran(self, count: int) -> None:
        path, seen, size, still = self.folder / "ran", 0, 0, time.monotonic()
        while seen < count:
            time.sleep(0.01)
            if path.exists() and (now := path.stat().st_size) != size:
                with path.open("rb") as file:
                    file.seek(size)
                    seen += file.read(now - size).count(b"\n")
                size, still = now, time.monotonic()
            if time.monotonic() > still + 30:
                raise WrongCountError(f"{self.name} ran {seen} of {count} jobs, then none for 30 s")

    def latency(self, count: int) -> list[float]:
        self.clear()
        with self._workers(2):
            return [float(line) for line in self._say("latency", count).split()]

    def idle(self, seconds: float) -> tuple[float, float, int]:
        self.clear()
        with self._workers(2) as processes:
            self._say("latency", 1)
            time.sleep(min(1, seconds))
            pids = [pid for process in processes for pid in family(process.pid)]
            before, begun = cpu_ms(pids), time.perf_counter()
            time.sleep(seconds)
            share = (cpu_ms(pids) - before) / (time.perf_counter() - begun)
            if sorted(pids) != sorted(pid for process in processes for pid in family(process.pid)):
                raise OSError("its processes did not stay the same while nothing was to do")
            return share, rss_mb(pids), len(pids)

    def _call(self, function: str, *arguments: object) -> list[str]:
        if self.node:
            return ["node", "jobs.mjs", function, *map(str, arguments)]
        return [self.python, "-c", f"import jobs; jobs.{function}{arguments!r}"]

    def _say(self, function: str, *arguments: object) -> str:
        done = subprocess.run(
            self._call(function, *arguments),
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=180,
        )
        if done.returncode:
            raise OSError(f"{function}: {sentence(done.stderr)}")
        return done.stdout.strip()

    @contextmanager
    def _workers(self, slots: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        started: list[subprocess.Popen[bytes]] = []
        try:
            with (self.folder / "worker.log").open("ab") as log:
                for argv in self.kind.workers(slots):
                    program = shutil.which(argv[0], path=self.variables["PATH"]) or argv[0]
                    started.append(
                        subprocess.Popen(
                            [program, *argv[1:]],
                            cwd=self.folder,
                            env=self.variables,
                            stdin=subprocess.DEVNULL,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                        )
                    )
            yield started
        finally:
            for process in started:
                end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a worker that leads a session of its own, and whatever it started there."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(8)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
