"""Who asks for a job, as recorded with it. Loads nothing at import: `kiribi enqueue` comes through here."""

import os

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping


def user_at_host() -> str:
    """Name the caller as user@host; the number stands in for a user without a name."""
    try:
        from pwd import getpwuid

        user = getpwuid(os.geteuid()).pw_name
    except (KeyError, ImportError):
        # A container may run under a uid that nobody has named.
        user = str(os.geteuid())
    return f"{user}@{os.uname().nodename}"


def parent_job(environ: "Mapping[str, str]", db: str) -> int | None:
    """Id of the job inside which this process runs, if that job is in this very database."""
    digits, its = environ.get("KIRIBI_JOB_ID", ""), environ.get("KIRIBI_DB")
    if not its or not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        return None
    try:
        return int(digits) if os.path.samefile(its, db) else None  # noqa: PTH121  (pathlib costs 5 ms)
    except OSError:
        return None
