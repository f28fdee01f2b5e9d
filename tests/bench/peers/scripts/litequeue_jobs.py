import marks
from litequeue import LiteQueue

queue = LiteQueue("queue.db")


def setup():
    pass


def clear():
    queue.conn.execute(f"DELETE FROM {queue.table}")


def one():
    queue.put("0")


def waiting():
    print(queue.qsize())


def fill(task, count):
    import common

    def put():
        for first in range(0, count, 1000):
            with queue.transaction():
                for n in range(first, min(count, first + 1000)):
                    queue.put(str(n))

    common.seconds(put)


def work(task):
    """It has no worker of its own; this is the loop of its documentation."""
    run = getattr(marks, task)
    while (message := queue.pop()) is not None:
        run(int(message.data))
        queue.done(message.message_id)
