import marks
import procrastinate

app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


@app.task(name="mark")
def mark(n):
    marks.mark(n)


def setup():
    with app.open():
        app.schema_manager.apply_schema()


def clear():
    _sql("TRUNCATE procrastinate_jobs CASCADE")


def one():
    with app.open():
        mark.defer(n=0)


def waiting():
    print(_sql("SELECT count(*) FROM procrastinate_jobs").fetchone()[0])


def _sql(text):
    import psycopg

    return psycopg.connect(autocommit=True).execute(text)


def fill(task, count):
    import common

    with app.open():
        common.seconds(lambda: mark.batch_defer(*[{"n": n} for n in range(count)]))
