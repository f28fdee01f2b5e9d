"""Takes the hands from a worker that is dead or silent, so that nothing of what it claimed can start or go on.

Hands that answer have no brain from then on: what is to be adopted goes on, the rest is ended with its grace, and what
waited to be started is dropped. Hands that do not answer are killed.
"""

import signal
from collections.abc import Callable, Collection

from kiribi_cli.runner.hands import Hands, HandsLost, HandsSilent
from kiribi_cli.runner.process import look, myself, send
from kiribi_cli.runner.remains import Kept, end_hands, kept


def disarm(
    run_dir: str, is_meant: Callable[[Kept], bool], *, but: Collection[Hands] = (), lives: bool = False
) -> list[Hands] | None:
    """Part all hands that are meant from their brain; gives those that are ours now. `lives`: their brain may live.

    None when some of them could not be ended: then nothing may be concluded. `but`: our own.
    """
    own = {hands.pid for hands in but}
    taken: list[Hands] = []
    others: list[Kept] = []
    for one in kept(run_dir):
        if one.pid in own or not is_meant(one):
            continue
        hands = _take(one, lives=lives) if one.is_alive() else None
        if hands is not None:
            taken.append(hands)
        # Other workers of our own process are for tests; nobody dies there.
        elif lives or one.brain != myself():
            others.append(one)
    if end_hands(others):
        for hands in taken:
            hands.close()
        return None
    return taken


def _take(one: Kept, *, lives: bool) -> Hands | None:
    hands = look(one.pid)
    if hands is not None and hands.state == "T" and hands.start_ticks == one.ticks:
        # Stopped, they can neither end what they run nor say what is to be adopted.
        send(hands, signal.SIGCONT)
    try:
        return Hands.attach(one.path.removesuffix("json") + "sock", silent=one.brain[0] if lives else None)
    except (HandsLost, HandsSilent):
        return None
