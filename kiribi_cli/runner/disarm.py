"""Takes the hands from a worker that lives but is silent, so that nothing of what it claimed can start or go on.

Hands that answer leave it, as if it had died: what is to be adopted goes on, the rest is ended with its grace, and
what waited to be started is dropped. Hands that do not answer are killed.
"""

from collections.abc import Collection

from kiribi_cli.runner.hands import Hands, HandsLost
from kiribi_cli.runner.remains import Kept, end_hands, kept


def disarm(run_dir: str, brain: tuple[int, int], *, but: Collection[Hands] = ()) -> list[Hands] | None:
    """Part the process `brain` (pid, start ticks) from all its hands; gives those that are ours now.

    None when some of them could not be ended: then nothing may be concluded. `but`: our own.
    """
    own = {hands.pid for hands in but}
    taken: list[Hands] = []
    others: list[Kept] = []
    for one in kept(run_dir):
        if one.brain != brain or one.pid in own or not one.is_alive():
            continue
        try:
            taken.append(Hands.attach(one.path.removesuffix("json") + "sock", silent=brain[0]))
        except HandsLost:
            others.append(one)
    if end_hands(others):
        for hands in taken:
            hands.close()
        return None
    return taken
