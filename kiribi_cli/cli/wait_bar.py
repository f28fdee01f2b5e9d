"""The bar on stderr while a person waits."""

import sys

from kiribi_cli.actions.wait import Waited
from kiribi_cli.cli.people import bar
from kiribi_cli.core.durations import age

WIDTH = 20
BACK_AND_CLEAR = "\r\x1b[K"


class WaitBar:
    """One line that is written over: how many are done, failed, running, and about how long it will still take."""

    def __init__(self, *, unicode: bool) -> None:
        self._unicode = unicode
        self._shown = ""

    def show(self, waited: Waited) -> None:
        done, total = len(waited.ended), len(waited.ids)
        if not total:
            return
        parts = [f"{done}/{total} done", f"{len(waited.failed)} failed", f"{waited.running} running"]
        if 0 < done < total and waited.elapsed_ms > 2_000:
            parts.append(f"about {age(waited.elapsed_ms * (total - done) // done)} left")
        text = f"{bar(done / total, WIDTH, unicode=self._unicode)}  {(' · ' if self._unicode else ', ').join(parts)}"
        if text != self._shown:
            self._shown = text
            sys.stderr.write(BACK_AND_CLEAR + text)
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write(BACK_AND_CLEAR)
            sys.stderr.flush()
