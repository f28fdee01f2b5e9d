import os

import marks
from huey import SqliteHuey

fsync = {"": None, "0": False, "1": True}[os.environ["HUEY_FSYNC"]]
huey = SqliteHuey(filename="queue.db", fsync=fsync)


@huey.task()
def mark(n):
    marks.mark(n)


@huey.task()
def run_true(n):
    marks.run_true(n)


def setup():
    huey.flush()


def clear():
    huey.flush()


def one():
    mark(0)


def waiting():
    print(huey.pending_count())


def fill(task, count):
    import common

    common.seconds(lambda: [globals()[task](n) for n in range(count)])


def latency(count):
    import common

    common.waits(count, mark)
