"""What is wrong with a jobs.toml: one value per problem, how it reads, and the word that was probably meant."""

from collections.abc import Iterable
from typing import Literal

from kiribi_cli.core.records import dataclass

ErrorCode = Literal[
    "bad_toml", "bad_version", "unknown_key", "missing_key", "kind_count", "bad_kind_key", "bad_type", "bad_name",
    "duplicate_name", "bad_duration", "bad_size", "bad_rate", "bad_range", "bad_choice", "bad_codes", "bad_signal",
    "bad_timezone", "bad_placeholder", "placeholder_in_shell", "bad_params", "bad_schema", "missing_file",
    "missing_extra", "network_disk", "unsupported",
]  # fmt: skip
WarningCode = Literal[
    "not_root", "not_on_path", "option_injection", "looks_like_placeholder", "redacted_in_argv", "undeclared_queue",
    "password_in_url",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `path` are the keys down to it, `line` and `column` count from 1, `suggestion` is what to write."""

    severity: Literal["error", "warning"]
    code: str
    path: tuple[str | int, ...]
    message: str
    suggestion: str | None = None
    file: str = "jobs.toml"
    line: int = 1
    column: int = 1
    # True for what depends on this machine now (a missing env_file, an extra): `check` tells, `read` lets it pass.
    here_only: bool = False
    # True if the key is what is wrong, not its value: line and column are then the key's.
    at_key: bool = False

    @property
    def dotted(self) -> str:
        """The path as people write it: `jobs.Mailer.retrys`, `jobs.Sync.command[1]`."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).removeprefix(".")

    @property
    def where(self) -> str:
        """What stands before the message: the path, less the key that the message names itself."""
        if self.message.startswith("["):
            return ""
        if self.code in NAMES_ITS_KEY:
            return Problem(self.severity, self.code, self.path[:-1], "").dotted
        return self.dotted

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        meant = f' Did you mean "{self.suggestion}"?' if self.suggestion and self.code in NAMES_ITS_KEY else ""
        dot = "." if meant else ""
        at = f"{self.file}:{self.line}:{self.column}"
        return f"{at}  {self.severity:<7}  {place}{self.message}{dot}{meant}  [{self.code}]"

    def as_json(self) -> dict[str, str | int | None]:
        """The object of `kiribi check --json` (cli.md, 10), with the file it is in."""
        return {
            "severity": self.severity, "code": self.code, "path": self.dotted, "line": self.line, "column": self.column,
            "message": self.message, "suggestion": self.suggestion, "file": self.file,
        }  # fmt: skip


NAMES_ITS_KEY = ("unknown_key", "bad_kind_key", "unsupported", "missing_key")

# What people type who come from other tools, and what it is called here.
SYNONYMS = {
    "retry": "max_attempts", "retries": "max_attempts", "retrys": "max_attempts", "max_retries": "max_attempts",
    "attempts": "max_attempts", "max_tries": "max_attempts", "tries": "max_attempts",
    "retry_delay": "backoff", "delay": "backoff", "retry_backoff": "backoff",
    "cmd": "command", "run": "command", "exec": "command", "argv": "command", "args": "command", "program": "command",
    "script": "shell", "sh": "shell", "bash": "shell", "call": "python", "callable": "python", "func": "python",
    "function": "python", "entrypoint": "python", "url": "http",
    "cron": "schedules", "schedule": "schedules", "every": "schedules", "at": "schedules",
    "workers": "concurrency", "slots": "concurrency", "parallel": "concurrency", "max_concurrency": "concurrency",
    "max_parallel": "concurrency", "limit": "concurrency", "jobs_in_parallel": "concurrency",
    "dir": "cwd", "workdir": "cwd", "working_dir": "cwd", "working_directory": "cwd", "chdir": "cwd", "folder": "cwd",
    "environment": "env", "envs": "env", "variables": "env", "vars": "env", "dotenv": "env_file", "envfile": "env_file",
    "env_files": "env_file", "time_limit": "timeout", "max_time": "timeout", "max_runtime": "timeout",
    "deadline": "expires", "ttl": "expires", "expire": "expires", "ok_codes": "success_codes",
    "exit_codes": "success_codes", "prio": "priority", "desc": "description", "help": "description",
    "schema": "payload_schema", "parameters": "params", "arguments": "params", "inputs": "params",
    "lock": "mutex", "dedupe": "unique", "unique_key": "unique", "deduplicate": "unique", "rate_limit": "rate",
    "grace": "kill_after", "grace_period": "kill_after", "kill_timeout": "kill_after", "signal": "stop_signal",
    "secrets": "redact", "mask": "redact", "keep": "retention", "database": "db", "tz": "timezone", "zone": "timezone",
    "job": "jobs", "queue": "queues", "default": "defaults", "includes": "include", "interval": "schedules",
    "tag": "tags", "label": "tags", "labels": "tags", "ulimit": "limits", "memory": "limits", "on_failure": "on",
    "rss": "memory", "mem": "memory", "cpu": "cpu_time", "files": "open_files", "nofile": "open_files",
    "nproc": "processes", "on_duplicate": "on_conflict", "conflict": "on_conflict", "until": "while",
    "optional": "required", "enum": "choices", "regex": "pattern", "minimum": "min", "maximum": "max",
}  # fmt: skip


def meant(word: str, known: Iterable[str]) -> str | None:
    """Guess which known key was meant: a synonym, else the nearest spelling.

    >>> meant("retrys", ["max_attempts", "timeout"]), meant("tmeout", ["timeout"]), meant("xyzzy", ["timeout"])
    ('max_attempts', 'timeout', None)
    """
    from difflib import get_close_matches

    words = list(known)
    plain = word.lower().replace("-", "_")
    if plain in words:
        return plain
    if SYNONYMS.get(plain) in words:
        return SYNONYMS[plain]
    near = get_close_matches(plain, words, n=1, cutoff=0.7) or get_close_matches(plain, SYNONYMS, n=1, cutoff=0.85)
    guess = SYNONYMS.get(near[0], near[0]) if near else None
    return guess if guess in words else None
