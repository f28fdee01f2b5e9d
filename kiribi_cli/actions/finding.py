"""What `kiribi doctor` says and what it looks at."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from kiribi_cli.config.discover import Database, Found
from kiribi_cli.config.model import Config
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import KiribiError
from kiribi_cli.store.base import Store


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `mend`: the command or act that puts it right, None where nothing is to be done."""

    check: str
    status: Literal["ok", "warning", "problem"]
    message: str
    mend: str | None = None

    def as_object(self) -> dict[str, str | None]:
        return {"check": self.check, "status": self.status, "message": self.message, "mend": self.mend}


@dataclass(frozen=True, slots=True)
class Machine:
    """What is looked at; what could not be had is None, and an error says why."""

    found: Found | None
    config: Config | None
    database: Database | None
    store: Store | None
    errors: tuple[KiribiError, ...]
    env: Mapping[str, str]
    now: int


def worst(findings: Iterable[Finding]) -> str:
    """Give the worst status there is.

    >>> worst([Finding("a", "ok", ""), Finding("b", "warning", "")])
    'warning'
    """
    order: Callable[[str], int] = ("ok", "warning", "problem").index
    return max((finding.status for finding in findings), key=order, default="ok")
