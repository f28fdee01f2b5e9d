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

# Lower comes first: -priority, run_at, id.
Rank = tuple[int, int, int]


@dataclass(slots=True)
class Room:
    """How many jobs may still start: per queue, and per lane of it (limits of a definition hold over all queues).

    `heads`: each (queue, lane) in which something may start, with the rank of its first.
    """

    queues: dict[str, int]
    lanes: dict[str, int]
    heads: list[tuple[Rank, str, str]]


def room(db: Database, want: Want) -> Room:
    """Find the (queue, lane) pairs in which something is pending and may start, by the limits and what is running."""
    heads = [
        ((-priority, run_at, id_), queue, lane)
        for queue, lane, priority, run_at, id_ in db.rows("turn.heads")
        if lane in want.lanes and (want.queues is None or queue in want.queues)
    ]
    queues: dict[str, int] = {}
    lanes: dict[str, int] = {}
    if heads:
        busy_queues, busy_lanes = _busy(db, want)
        for _, queue, lane in heads:
            queues[queue] = _left(want.queue_concurrency.get(queue), busy_queues[queue], (want.queues or {}).get(queue))
            lanes[lane] = _left(want.lane_concurrency.get(lane), busy_lanes[lane], None)
    return Room(queues, lanes, [head for head in heads if queues[head[1]] > 0 and lanes[head[2]] > 0])


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
    if len(left.heads) == 1:
        ((_, queue, lane),) = left.heads
        return _in_lane(db, queue, lane, min(want.slots, left.queues[queue], left.lanes[lane])).fetchall()
    heap = left.heads
    heapify(heap)
    # A lane is read when its head is the best of all: as many lanes as there are slots, and not a thousand.
    cursors: dict[tuple[str, str], driver.Cursor] = {}
    best: dict[tuple[str, str], Row] = {}
    chosen: list[Row] = []
    while heap and len(chosen) < want.slots:
        _, queue, lane = heap[0]
        room_left = min(left.queues[queue], left.lanes[lane], want.slots)
        if room_left <= 0:
            heappop(heap)
            continue
        if (queue, lane) not in cursors:
            cursors[queue, lane] = _in_lane(db, queue, lane, room_left)
            best[queue, lane] = next(cursors[queue, lane])
        chosen.append(best[queue, lane])
        left.queues[queue] -= 1
        left.lanes[lane] -= 1
        following = next(cursors[queue, lane], None)
        if following is None:
            heappop(heap)
        else:
            best[queue, lane] = following
            heapreplace(heap, (_rank(following), queue, lane))
    for cursor in cursors.values():
        cursor.close()
    return chosen


def _in_lane(db: Database, queue: str, lane: str, most: int) -> driver.Cursor:
    return db.connection.execute(statement("turn.in_lane"), {"queue": queue, "lane": lane, "most": most})


def _rank(row: Row) -> Rank:
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
