"""Claiming: which pending jobs start now. Looks at the heads of the lanes, never at the backlog behind them."""

import json
from collections import Counter
from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace

from kiribi_cli.core.records import dataclass
from kiribi_cli.store.base import Claim, Want
from kiribi_cli.store.connect import driver
from kiribi_cli.store.database import Database, Row
from kiribi_cli.store.rows import tags_of
from kiribi_cli.store.statements import statement

MANY = 1 << 40


@dataclass(slots=True)
class Room:
    """How many jobs may still start: per queue, and per lane of it (limits of a definition hold over all queues)."""

    queues: dict[str, int]
    lanes: dict[str, int]
    heads: list[tuple[str, str]]


def room(db: Database, want: Want) -> Room:
    """Find the (queue, lane) pairs in which something is pending and may start, by the limits and what is running."""
    heads = [
        (queue, lane)
        for queue, lane in db.rows("turn.heads")
        if lane in want.lanes and (want.queues is None or queue in want.queues)
    ]
    queues: dict[str, int] = {}
    lanes: dict[str, int] = {}
    if heads:
        busy_queues, busy_lanes = _busy(db, want)
        for queue, lane in heads:
            queues[queue] = _left(want.queue_concurrency.get(queue), busy_queues[queue], (want.queues or {}).get(queue))
            lanes[lane] = _left(want.lane_concurrency.get(lane), busy_lanes[lane], None)
    return Room(queues, lanes, [(queue, lane) for queue, lane in heads if queues[queue] > 0 and lanes[lane] > 0])


def _busy(db: Database, want: Want) -> tuple[Counter[str], Counter[str]]:
    queues: Counter[str] = Counter()
    lanes: Counter[str] = Counter()
    if want.queue_concurrency or want.lane_concurrency:
        for queue, lane, running in db.rows("turn.busy"):
            queues[queue] += running
            lanes[lane] += running
    return queues, lanes


def _left(limit: int | None, running: int, slots: int | None) -> int:
    return min(MANY if limit is None else limit - running, MANY if slots is None else slots)


def pick(db: Database, want: Want) -> list[Row]:
    """Choose the jobs to start, the best first: higher priority, then due earlier, then lower id."""
    left = room(db, want)
    cursors = [
        _in_lane(db, queue, lane, min(want.slots, left.queues[queue], left.lanes[lane])) for queue, lane in left.heads
    ]
    # Cursors are read as far as needed: about as many rows as there are slots, plus one for each lane.
    heap = [(_rank(row), row, cursor) for cursor in cursors if (row := next(cursor, None))]
    heapify(heap)
    chosen: list[Row] = []
    while heap and len(chosen) < want.slots:
        _, row, cursor = heap[0]
        queue, lane = row[4], row[21]
        following = None
        if left.queues[queue] > 0 and left.lanes[lane] > 0:
            chosen.append(row)
            left.queues[queue] -= 1
            left.lanes[lane] -= 1
            following = next(cursor, None)
        if following is None:
            heappop(heap)
        else:
            heapreplace(heap, (_rank(following), following, cursor))
    for cursor in cursors:
        cursor.close()
    return chosen


def _in_lane(db: Database, queue: str, lane: str, most: int) -> driver.Cursor:
    return db.connection.execute(statement("turn.in_lane"), {"queue": queue, "lane": lane, "most": most})


def _rank(row: Row) -> tuple[int, int, int]:
    return -row[5], row[14], row[0]


def start(db: Database, rows: Sequence[Row], worker_id: int, worker: str) -> tuple[Claim, ...]:
    """Move chosen jobs to running, each with a token of its own. Within the caller's write transaction."""
    if not rows:
        return ()
    first = db.value("turn.take_attempt_ids", n=len(rows)) - len(rows) + 1
    claims = tuple(claim_of(row, attempt_id) for attempt_id, row in enumerate(rows, start=first))
    ids = json.dumps([row[0] for row in rows])
    started = db.run("turn.start", ids=ids, first=first, worker=worker, worker_id=worker_id)
    if started != len(rows):
        # They were read in this very transaction.
        raise RuntimeError(f"{len(rows)} jobs were pending, {started} could be started")
    return claims


def claim_of(row: Row, attempt_id: int) -> Claim:
    """Build the claim of an attempt that starts now: one more than the row has seen."""
    (
        id_, job, kind, adhoc, queue, priority, tags, payload, options, attempt, attempts, max_attempts, snoozes,
        interruptions, run_at, created_at, first, schedule, scheduled_for, flow, step, _,
    ) = row  # fmt: skip
    return Claim(
        attempt_id, id_, job, kind, bool(adhoc), queue, priority, tags_of(tags), payload, options, attempt + 1,
        attempts + 1, max_attempts, snoozes, interruptions, run_at, created_at, bool(first), schedule, scheduled_for,
        flow, step,
    )  # fmt: skip
