"""A mark that no process loses by accident: it outlives exec, a cleared environment, a new session and its parents.

It is the soft limit of real-time CPU (RLIMIT_RTTIME): inherited by all that a process starts, readable by whoever may
signal it, and so large that it limits nothing. Runs in the hands: stdlib only, and light.
"""

from __future__ import annotations

import resource

# Not more than a limit can hold, and in microseconds longer than any machine runs: two bits say that it is ours.
_OURS = 3 << 61
_JOB_BITS = 40
_DB_BITS = 20


class Brand:
    """What all that we start for jobs of one database is marked with."""

    def __init__(self, db: str | None) -> None:
        self._db = db
        self._before = resource.getrlimit(resource.RLIMIT_RTTIME)

    def put_on(self, job: int) -> None:
        """Mark what is started from now on; ourselves as well, so take it off at once."""
        number = brand(job, self._db)
        # A machine that sets a hard limit here leaves no room for it: then the environment has to do.
        if number and self._before[1] == resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_RTTIME, (number, resource.RLIM_INFINITY))

    def take_off(self) -> None:
        """Be as before."""
        resource.setrlimit(resource.RLIMIT_RTTIME, self._before)


def brand(job: int, db: str | None) -> int:
    """Give the number for what belongs to a job; 0 where it has none.

    >>> brand(7, "/srv/a.db") != brand(7, "/srv/b.db"), brand(7, None)
    (True, 0)
    """
    if job <= 0 or job >> _JOB_BITS or db is None:
        return 0
    digest = 0
    for byte in db.encode("utf-8", "surrogateescape"):
        digest = (digest * 16_777_619 ^ byte) & 0xFFFF_FFFF
    return _OURS | ((digest ^ digest >> 12) & ((1 << _DB_BITS) - 1)) << _JOB_BITS | job


def brand_of_none(db: str | None) -> int:
    """Give the number to which the id of a job is added to make its brand; 0 where there is none.

    >>> brand_of_none("/srv/a.db") + 7 == brand(7, "/srv/a.db"), brand_of_none(None)
    (True, 0)
    """
    return max(0, brand(1, db) - 1)


def brand_of(pid: int) -> int:
    """Read what a process is marked with; 0: nothing, or it is not ours to signal."""
    try:
        number = resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
    except (OSError, ValueError):
        return 0
    return number if number > 0 and number & _OURS == _OURS else 0
