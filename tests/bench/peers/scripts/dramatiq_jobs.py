import os

import dramatiq
import marks
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["REDIS_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor
def mark(n):
    marks.mark(n)


def setup():
    broker.client.flushdb()


def clear():
    broker.client.flushdb()


def one():
    mark.send(0)


def waiting():
    print(broker.client.llen("dramatiq:default"))


def fill(task, count):
    import common

    common.seconds(lambda: [mark.send(n) for n in range(count)])


def latency(count):
    import common

    common.waits(count, mark.send)
