"""Everything that a job's bytes touch: its log, its files, and the terminal on which somebody looks at them."""

import json
import os
import signal
from pathlib import Path

from tests.conftest import eventually

# A callable and commands that put something else in the place of their files, or something that nobody can read.
HOSTILE_FILES = r"""
[worker]
concurrency = 2
[defaults]
max_attempts = 1
[jobs]
Folder = 'mkdir -p "$KIRIBI_RESULT_FILE/a/b" "$KIRIBI_PROGRESS_FILE/c"; touch "$KIRIBI_RESULT_FILE/a/x"; sleep 1.2'
Linked = 'mkdir "$KIRIBI_RESULT_FILE"; ln -s "$PWD/precious" "$KIRIBI_RESULT_FILE/a"; ln -s "$PWD/precious/x" "$KIRIBI_RESULT_FILE/b"'
Link = 'ln -s /etc/passwd "$KIRIBI_RESULT_FILE"; ln -s /etc/passwd "$KIRIBI_PROGRESS_FILE"; sleep 1.2'
Pipe = 'mkfifo "$KIRIBI_RESULT_FILE" "$KIRIBI_PROGRESS_FILE"; sleep 1.2'
Huge = 'truncate -s 1G "$KIRIBI_RESULT_FILE"'
Bytes = 'printf "\377\376\000\033[2J" > "$KIRIBI_RESULT_FILE"'
NaN = 'printf "{\"a\": NaN}" > "$KIRIBI_RESULT_FILE"'
Infinite = 'printf "{\"a\": 1e999}" > "$KIRIBI_RESULT_FILE"'
Deep = 'printf "[%.0s" $(seq 500) > "$KIRIBI_RESULT_FILE"; printf "]%.0s" $(seq 500) >> "$KIRIBI_RESULT_FILE"'
Share = 'printf "%s\n" "$(printf "9%.0s" $(seq 400))/1 far" > "$KIRIBI_PROGRESS_FILE"; sleep 1.2'
Hurried = 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo "$i/20000 at $i"; done > "$KIRIBI_PROGRESS_FILE"; sleep 1.2'
NoFolder = 'mv .kiribi/run .kiribi/elsewhere; mv .kiribi/logs .kiribi/before; echo nowhere'
[jobs.Loud]
shell = "head -c 3000000 /dev/zero"
result = "stdout"
result_max = "1MB"
"""


def read_json(text: str):
    """Read JSON as strict readers do."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_whatever_a_job_puts_in_the_place_of_its_files_hurts_nobody(kiribi):
    kiribi.define(HOSTILE_FILES)
    (kiribi.folder / "precious").mkdir()
    (kiribi.folder / "precious" / "x").write_text("kept")
    names = [line.partition(" ")[0] for line in HOSTILE_FILES.splitlines() if " = '" in line]
    for name in [*names[:-1], "Loud"]:
        kiribi.ok("enqueue", name)
    kiribi.ok("worker", "--drain")
    files = sorted(path.name for path in (kiribi.folder / ".kiribi" / "run").iterdir())
    kiribi.ok("enqueue", "NoFolder")
    kiribi.ok("worker", "--drain")

    jobs = read_json(kiribi.ok("--json", "ls", "--fields", "job,status,result"))
    results = {job["job"]: job["result"] for job in jobs}
    assert {job["status"] for job in jobs} == {"completed"}
    assert results | {"Deep": len(results["Deep"])} == dict.fromkeys(results) | {
        "Bytes": "\ufffd\ufffd\x00\x1b[2J", "NaN": '{"a": NaN}', "Infinite": '{"a": 1e999}', "Deep": 1000,
    }  # fmt: skip
    assert {job: read_json(kiribi.ok("--json", "show", job))["status"] for job in range(1, len(jobs) + 1)}
    assert [name for name in files if name.partition(".")[0].isdigit()] == []
    assert (kiribi.folder / "precious" / "x").read_text() == "kept"


def test_a_share_that_no_number_holds_spoils_no_list(kiribi):
    kiribi.define(HOSTILE_FILES.replace("1.2'", "5'"))
    kiribi.ok("enqueue", "Share")
    kiribi.ok("enqueue", "Hurried")
    kiribi.worker("--max-jobs", "2")
    eventually(lambda: all(kiribi.json("show", job)["progress"] for job in (1, 2)))

    share, hurried = (kiribi.json("show", job)["progress"] for job in (1, 2))
    assert (share["fraction"], share["message"][:3]) == (None, "999")
    assert 0 < hurried["fraction"] <= 1
    assert "999" in kiribi.ok("ls", "--table")


def test_a_folder_in_the_place_of_a_file_stops_no_rescue(kiribi):
    kiribi.define(HOSTILE_FILES.replace("1.2'", "60'"))
    kiribi.ok("enqueue", "Folder")
    worker = kiribi.worker()
    eventually(lambda: list((kiribi.folder / ".kiribi" / "run").glob("1.result/a/x")))
    for pid in [worker.pid, *children_of(worker.pid)]:
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    kiribi.ok("worker", "--drain")

    assert kiribi.status(1) == "failed"
    assert list((kiribi.folder / ".kiribi" / "run").glob("1.*")) == []


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
