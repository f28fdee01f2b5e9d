import os

import marks
from redis import Redis
from rq import Queue

connection = Redis.from_url(os.environ["REDIS_URL"])
queue = Queue(connection=connection)


def setup():
    connection.flushdb()


def clear():
    connection.flushdb()


def one():
    queue.enqueue(marks.mark, 0)


def waiting():
    print(len(queue))


def fill(task, count):
    import common

    run = getattr(marks, task)
    many = [Queue.prepare_data(run, args=(n,)) for n in range(count)]
    common.seconds(lambda: queue.enqueue_many(many))


def latency(count):
    import common

    common.waits(count, lambda n: queue.enqueue(marks.mark, n))
