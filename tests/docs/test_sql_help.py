"""What `kiribi help sql` shows can be typed as it stands."""

import re
import subprocess
from pathlib import Path

import pytest

TOPIC = (Path(__file__).parents[2] / "kiribi_cli" / "help" / "sql.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TOPIC, re.MULTILINE | re.DOTALL)
JOBS = """
[jobs.Greet]
command = ["echo", "hello,", "{payload.name}"]
params = { name = "string", times = { type = "integer", default = 1 } }
result = "stdout"
"""


@pytest.mark.needs("sqlite3")
def test_every_block_succeeds_and_what_it_enqueues_runs(kiribi):
    kiribi.define(JOBS)
    kiribi.ok("def", "publish")
    for block in BLOCKS:
        done = subprocess.run(
            ["/bin/bash", "-eu", "-o", "pipefail", "-c", block],
            cwd=kiribi.folder, env=kiribi.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), block
    kiribi.ok("worker", "--drain")

    jobs = kiribi.json("ls", "--fields", "job,status,result,origin")
    assert len(jobs) == sum(block.count("enqueue") for block in BLOCKS) == 2
    assert {(job["job"], job["status"], job["result"]) for job in jobs} == {("Greet", "completed", "hello, Ada")}
    assert {job["origin"]["kind"] for job in jobs} == {"sql"}


def test_every_column_of_the_view_is_explained(kiribi):
    import sqlite3
    from contextlib import closing

    kiribi.define(JOBS)
    kiribi.ok("def", "publish")
    with closing(sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db")) as connection:
        columns = [column[0] for column in connection.execute("SELECT * FROM enqueue").description]

    assert columns == re.findall(r"^\| `(\w+)` \|", TOPIC.partition("## Look")[0], re.MULTILINE)
