"""Who acts: recorded with every job and every move."""

import os
from contextlib import suppress


def user_at_host() -> str:
    """Name the caller as user@host; the number stands in for a user without a name."""
    user = str(os.geteuid())
    # A container may run under a uid that nobody has named.
    with suppress(KeyError, ImportError):
        from pwd import getpwuid

        user = getpwuid(os.geteuid()).pw_name
    return f"{user}@{os.uname().nodename}"
