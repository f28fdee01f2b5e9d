"""What only whole programs need: a disk of their own."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Kiribi
from tests.faults import SmallDisk
from tests.fuzzed import Desk
from tests.invariants import check_databases


@pytest.fixture
def small_disk(kiribi: Kiribi) -> Iterator[SmallDisk]:
    path = kiribi.folder / "disk"
    path.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", path], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"root may not mount here: {mounted.stderr.decode().strip()}")
    yield SmallDisk(path)
    # Before it is gone; the fixture `kiribi` would look for it too late.
    kiribi.end()
    check_databases(kiribi.databases())
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def in_memory() -> Iterator[Kiribi]:
    """The program in a folder in memory, where fsync is free: what a kill leaves does not depend on the disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as place:
        folder, home = Path(place, "here"), Path(place, "home")
        folder.mkdir()
        home.mkdir()
        yield Kiribi(folder, home)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Commands in this process, in a folder with a short history; in memory where there is such a disk."""
    before, folder = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as there:
        made = Desk(Path(there))
        os.environ.clear()
        os.environ.update(made.environment)
        yield made
        os.chdir(folder)
    os.environ.clear()
    os.environ.update(before)
