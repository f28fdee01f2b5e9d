import asyncio
import os
import time

import marks
from redis import Redis
from taskiq_redis import ListQueueBroker

# With the five seconds that are the default of redis-py 8, an idle worker ends and is started again.
broker = ListQueueBroker(os.environ["REDIS_URL"], socket_timeout=None)


@broker.task(task_name="mark")
async def mark(n):
    marks.mark(n)


def setup():
    clear()


def clear():
    Redis.from_url(os.environ["REDIS_URL"]).flushdb()


def waiting():
    print(Redis.from_url(os.environ["REDIS_URL"]).llen("taskiq"))


async def _put(numbers):
    await broker.startup()
    for n in numbers:
        await mark.kiq(n)
    await broker.shutdown()


def one():
    asyncio.run(_put([0]))


def fill(task, count):
    import common

    common.seconds(lambda: asyncio.run(_put(range(count))))


async def _waits(count):
    import common

    await broker.startup()
    for n in range(count + 1):
        await mark.kiq(n)
        returned = time.time_ns()
        waited = (common.begun(n) - returned) / 1e6
        if n > 0:
            print(waited)
        await asyncio.sleep(0.01)
    await broker.shutdown()


def latency(count):
    asyncio.run(_waits(count))
