"""The few ways in which kiribi refuses. A code means one exit status everywhere and one HTTP status on the web."""

from enum import Enum


class Code(Enum):
    """Exit codes as in `kiribi help exit-codes`; the name in lower case is the stable `code` of JSON errors."""

    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFIG = 4
    CONFLICT = 5
    PAYLOAD = 6
    STORE = 7
    NO_WORKER = 8
    REFUSED = 9
    TIMEOUT = 124

    @property
    def slug(self) -> str:
        return self.name.lower()


class KiribiError(Exception):
    """What a person can mend: one sentence saying what and where, one hint saying what to type next.

    `details` are further lines, shown indented between the two (all problems at once). `final`: trying the same
    again cannot help, so that a worker stops instead.
    """

    def __init__(
        self, code: Code, message: str, *, hint: str | None = None, details: tuple[str, ...] = (), final: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details
        self.final = final
