"""What an interpreter is started with to run Python callables: it fetches the harness, and leaves nothing of itself.

Of the harness Python keeps what it has compiled; of a script it would not.
"""

from __future__ import annotations

import sys

# A script's own folder comes first on sys.path, where jobs must not find our modules; and not at all under -P.
FOLDER = __file__.rpartition("/")[0]
if sys.path[0] == FOLDER:
    del sys.path[0]

import gc  # noqa: E402, F401
import json  # noqa: E402, F401
import os  # noqa: E402, F401
import re  # noqa: E402, F401
import resource  # noqa: E402, F401
import select  # noqa: E402, F401
import socket  # noqa: E402, F401
import time  # noqa: E402, F401, TID251  (runs without kiribi, so without its clock)

# Only now, when all that they need has been found where it should be.
sys.path.insert(0, FOLDER)
import ground  # type: ignore[import-not-found]  # noqa: E402, F401
import harness  # type: ignore[import-not-found]  # noqa: E402

# A job may have modules of the same names; and where a job's own `resource` stands, it has asked for it.
del sys.path[0], sys.modules["harness"], sys.modules["ground"], sys.modules["resource"]

if __name__ == "__main__":
    harness.main()
