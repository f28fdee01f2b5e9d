"""The main job: a real folder of several thousand files, two workers, one of them killed in the middle."""

import json
import shlex
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
AS_JSON = "import json, sys; [print(json.dumps({'path': line.rstrip('\\n')})) for line in sys.stdin]"


@pytest.mark.slow
@pytest.mark.needs("find", "sha256sum")
def test_every_file_of_the_standard_library_is_summed_once_though_a_worker_is_killed(kiribi, eventually):
    kiribi.define((TREE / "jobs.example.toml").read_text())
    files = _enqueue_every_file_below(Path(sysconfig.get_path("stdlib")), kiribi)
    doomed, other = kiribi.worker("-j", "2"), kiribi.worker("-j", "2")

    eventually(lambda: int(kiribi.ok("ls", "--status", "completed", "--count")) > len(files) // 20, within=120)
    doomed.send_signal(signal.SIGKILL)
    left_when_killed = int(kiribi.ok("ls", "--status", "active", "--count"))
    eventually(lambda: kiribi.ok("ls", "--status", "active", "--count") == "0", within=240)

    assert left_when_killed > 0
    assert other.poll() is None
    jobs = [
        json.loads(line) for line in kiribi.ok("ls", "--jsonl", "--fields", "id,status,attempts,result").splitlines()
    ]
    assert len(jobs) == len(files)
    assert {job["status"] for job in jobs} == {"completed"}
    assert sorted(job["result"] for job in jobs) == sorted(_sums_of(files))
    _adds_up(kiribi.json("stats"), jobs)


def _enqueue_every_file_below(folder: Path, kiribi) -> list[str]:
    find = f"find {shlex.quote(str(folder))} -name '*-packages' -prune -o -type f -print"
    line = f"{find} | tee files.txt | python3 -c {shlex.quote(AS_JSON)} | kiribi enqueue Checksum --batch - > ids.txt"
    subprocess.run(["/bin/bash", "-o", "pipefail", "-c", line], cwd=kiribi.folder, env=kiribi.environment, check=True)
    files = (kiribi.folder / "files.txt").read_text().splitlines()
    ids = (kiribi.folder / "ids.txt").read_text().split()
    assert len(files) > 1000
    assert len(set(ids)) == len(files)
    return files


def _sums_of(files: list[str]) -> list[str]:
    done = subprocess.run(
        ["xargs", "-0", "sha256sum", "--"], input="\0".join(files), capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def _adds_up(stats, jobs) -> None:
    now = stats["now"]
    assert stats["totals"]["completed"] == len(jobs) == sum(row["completed"] for row in stats["by"])
    assert stats["totals"]["failed"] == stats["totals"]["cancelled"] == stats["totals"]["skipped"] == 0
    assert stats["totals"]["retried"] == sum(job["attempts"] - 1 for job in jobs)
    assert [now[status] for status in ("scheduled", "pending", "blocked", "running", "retrying")] == [0] * 5
    assert now["workers"] == 1
    assert sum(sum(row["per_hour"]) for row in stats["by"]) == len(jobs)
