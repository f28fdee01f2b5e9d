"""Where peers live: a folder of its own with a venv, unpacked Debian packages and node modules; nothing else is changed.

What cannot be had is named with its reason, and measured by nobody.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


class Environment:
    """Programs and modules for peers, installed by the ordinary clients. What is there already is not fetched again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: dict[str, str] = {}
        self.variables = {
            "PATH": os.pathsep.join([str(folder / "debs/usr/bin"), *self._postgres(), os.environ["PATH"]]),
            "LD_LIBRARY_PATH": str(folder / "debs/usr/lib/x86_64-linux-gnu"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": str(folder),
        }

    def _postgres(self) -> list[str]:
        places = [Path("/usr/lib/postgresql"), self.folder / "debs/usr/lib/postgresql"]
        return [str(path) for place in places for path in sorted(place.glob("*/bin"))]

    def which(self, program: str) -> str | None:
        return shutil.which(program, path=self.variables["PATH"])

    def bin(self, packages: Sequence[str]) -> Path:
        """Where the Python and the programs of one peer are. Each has its own: some import whatever they can find."""
        return self.folder / "-".join(package.partition("[")[0] for package in packages) / "bin"

    def install(self, pip: Iterable[Sequence[str]], debian: dict[str, str], npm: Iterable[str]) -> None:
        """`pip` has the packages of each peer, `debian` maps programs to packages. Fills `missing`: package -> why not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for packages in pip:
            self._pip(packages)
        self._debian({program: package for program, package in debian.items() if not self.which(program)})
        self._npm(list(npm))

    def _pip(self, packages: Sequence[str]) -> None:
        place = self.bin(packages)
        if (place / "python").exists():
            return
        why = self._did([sys.executable, "-m", "venv", str(place.parent)])
        install = [str(place / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        if why := why or self._did([*install, *packages]):
            self.missing |= dict.fromkeys(packages, why)
            shutil.rmtree(place.parent, ignore_errors=True)

    def _debian(self, wanted: dict[str, str]) -> None:
        """Fetch packages and unpack them into the folder: no daemon is started, and nothing is installed for good."""
        if not wanted:
            return
        why = "no apt-get" if not shutil.which("apt-get") else self._unpack(sorted(set(wanted.values())))
        # Where the server's own programs are is known only now.
        self.variables["PATH"] = os.pathsep.join([*self._postgres(), self.variables["PATH"]])
        for program, package in wanted.items():
            if not self.which(program):
                self.missing[package] = why or f"the package has no {program}"

    def _unpack(self, packages: list[str]) -> str:
        cache = self.folder / "cache"
        (cache / "partial").mkdir(parents=True, exist_ok=True)
        fetch = [
            "apt-get",
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            "--download-only",
            "-o",
            "Debug::NoLocking=1",
        ]
        fetch += ["-o", f"Dir::Cache::archives={cache}", "-o", "APT::Sandbox::User=root"]
        if why := self._did([*fetch, *packages]):
            if os.geteuid() or self._did(["apt-get", "update", "-q"]):
                return why
            if why := self._did([*fetch, *packages]):
                return why
        for deb in cache.glob("*.deb"):
            self._did(["dpkg-deb", "-x", str(deb), str(self.folder / "debs")])
        return ""

    def _npm(self, packages: list[str]) -> None:
        place = self.folder / "node"
        if all((place / "node_modules" / package).exists() for package in packages):
            return
        why = "no npm" if not shutil.which("npm") else ""
        if not why:
            place.mkdir(exist_ok=True)
            (place / "package.json").write_text('{"private": true}\n')
            why = self._did(
                ["npm", "install", "--silent", "--no-audit", "--no-fund", *packages], cwd=place, seconds=240
            )
        if why:
            self.missing |= dict.fromkeys(packages, why)

    def _did(self, argv: list[str], cwd: Path | None = None, seconds: float = 300) -> str:
        """Run; answers "" or the last line of what went wrong."""
        try:
            done = subprocess.run(
                argv, cwd=cwd, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode == 0:
            return ""
        return sentence(done.stderr + done.stdout) or f"exit {done.returncode}"


def sentence(trouble: object) -> str:
    """What a program says went wrong, in one line: the last that names an error, or else the last."""
    lines = [" ".join(line.split()) for line in str(trouble).splitlines() if line.strip()]
    told = [line for line in lines if "error" in line.lower()] or lines
    return told[-1][:250] if told else ""
