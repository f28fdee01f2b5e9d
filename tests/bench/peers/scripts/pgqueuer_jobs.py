import asyncio
import signal

import marks
import psycopg
from pgqueuer import PgQueuer
from pgqueuer.db import PsycopgDriver
from pgqueuer.queries import Queries


async def _work():
    connection = await psycopg.AsyncConnection.connect(autocommit=True)
    pgq = PgQueuer(PsycopgDriver(connection))

    @pgq.entrypoint("mark")
    async def mark(job):
        marks.mark(int(job.payload))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, pgq.shutdown.set)
    await pgq.run(batch_size=100)


def work():
    """What `pgq run` does, which failed with the Typer of the day."""
    import uvloop

    uvloop.run(_work())


def setup():
    import subprocess
    import sys

    subprocess.run([sys.executable, "-m", "pgqueuer", "install"], check=True, capture_output=True)


def _sql(text):
    return psycopg.connect(autocommit=True).execute(text)


def clear():
    _sql("TRUNCATE pgqueuer, pgqueuer_log")


def waiting():
    print(_sql("SELECT count(*) FROM pgqueuer").fetchone()[0])


async def _put(numbers):
    async with await psycopg.AsyncConnection.connect(autocommit=True) as connection:
        await Queries(PsycopgDriver(connection)).enqueue(
            ["mark"] * len(numbers), [b"%d" % n for n in numbers], [0] * len(numbers)
        )


def one():
    asyncio.run(_put([0]))


def fill(task, count):
    import common

    async def all_of_them():
        async with await psycopg.AsyncConnection.connect(autocommit=True) as connection:
            queries = Queries(PsycopgDriver(connection))
            for first in range(0, count, 1000):
                numbers = range(first, min(count, first + 1000))
                await queries.enqueue(["mark"] * len(numbers), [b"%d" % n for n in numbers], [0] * len(numbers))

    common.seconds(lambda: asyncio.run(all_of_them()))
