import os

import marks
from celery import Celery

app = Celery("jobs", broker=os.environ["CELERY_URL"])
app.conf.task_ignore_result = True


@app.task
def mark(n):
    marks.mark(n)


@app.task
def run_true(n):
    marks.run_true(n)


def _redis():
    from redis import Redis

    return Redis.from_url(os.environ["REDIS_URL"])


def setup():
    _redis().flushdb()


def clear():
    _redis().flushdb()


def one():
    mark.delay(0)


def waiting():
    print(_redis().llen("celery"))


def fill(task, count):
    import common

    common.seconds(lambda: [globals()[task].delay(n) for n in range(count)])


def latency(count):
    import common

    common.waits(count, mark.delay)
