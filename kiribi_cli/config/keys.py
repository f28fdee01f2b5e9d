"""Every key of jobs.toml: its form, what it sets, and help for editors (jobs-toml.md, section 4)."""

import signal
from pathlib import Path
from typing import Any

from kiribi_cli.config import forms, model
from kiribi_cli.config.forms import Form, Key, Place, Wrong, later
from kiribi_cli.config.params import params_form
from kiribi_cli.config.problems import meant
from kiribi_cli.core.definition import Exponential, Fixed, Listed, Unique

VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
PAYLOAD_LIMIT = 16 * 1_048_576
KINDS = ("command", "shell", "python", "http", "steps")


def _codes() -> Form:
    def read(raw: Any, place: Place) -> frozenset[int]:
        if not isinstance(raw, list):
            raise Wrong("bad_type", f"must be an array of exit codes, got {forms.noun(raw)}")
        for index, code in enumerate(raw):
            if isinstance(code, bool) or not isinstance(code, int):
                (place / index).error("bad_type", f"must be an integer, got {forms.noun(code)}")
            elif not 0 <= code <= 255:
                (place / index).error("bad_codes", f"an exit code is from 0 to 255, got {code}")
        return frozenset(code for code in raw if isinstance(code, int))

    return Form(read, {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}})


def _signal() -> Form:
    def read(raw: Any, _: Place) -> str:
        name = forms.string(raw).upper()
        name = name if name.startswith("SIG") else f"SIG{name}"
        if name not in signal.Signals.__members__:
            near = meant(name, signal.Signals.__members__)
            raise Wrong("bad_signal", f'"{raw}" is no signal; write it as "SIGTERM" or "SIGINT"', near)
        return name

    return Form(read, {"type": "string"})


def _umask() -> Form:
    def read(raw: Any, _: Place) -> int:
        digits = forms.string(raw)
        if not digits or any(c not in "01234567" for c in digits) or int(digits, 8) > 0o777:
            raise Wrong("bad_range", f'must be an octal string from "000" to "777", got "{raw}"')
        return int(digits, 8)

    return Form(read, {"type": "string", "pattern": "^0*[0-7]{1,3}$"})


def _backoff() -> Form:
    delay = forms.duration()
    listed = forms.array(delay, least=1)
    keys = {
        "kind": Key("kind", forms.choice("fixed", "exponential")),
        "base": Key("base_ms", delay),
        "factor": Key("factor", forms.number(1)),
        "max": Key("max_ms", delay),
        "jitter": Key("jitter", forms.number(0, 1)),
    }

    def read(raw: Any, place: Place) -> Any:
        if isinstance(raw, list):
            return Listed(listed.read(raw, place))
        if not isinstance(raw, dict):
            return Fixed(delay.read(raw, place))
        values = forms.read_table(raw, place, keys)
        if values.pop("kind", "exponential") == "exponential":
            return Exponential(**values)
        for name in ("factor", "max"):
            if name in raw:
                (place / name).error("bad_kind_key", f'"{name}" belongs to kind = "exponential"')
        return Fixed(values.get("base_ms", Exponential().base_ms), values.get("jitter", 0.0))

    return Form(read, {"anyOf": [delay.schema, listed.schema, forms.table_schema(keys)]})


def _unique() -> Form:
    key = forms.text()
    period = forms.duration(zero=False)
    keys = {
        "key": Key("key", key, "template over the payload; default: the whole payload"),
        "while": Key("until", Form(lambda raw, place: _until(raw, place, period), {"type": "string"})),
        "on_conflict": Key("on_conflict", Form(_on_conflict, {"enum": ["skip", "error"]})),
    }

    def read(raw: Any, place: Place) -> Unique | None:
        if isinstance(raw, bool):
            return Unique() if raw else None
        if isinstance(raw, str):
            return Unique(key.read(raw, place))
        if not isinstance(raw, dict):
            raise Wrong("bad_type", f"must be true, a key or a table, got {forms.noun(raw)}")
        return Unique(**forms.read_table(raw, place, keys))

    return Form(read, {"anyOf": [{"type": "boolean"}, key.schema, forms.table_schema(keys)]})


def _until(raw: Any, place: Place, period: Form) -> Any:
    if raw in ("pending", "unfinished"):
        return raw
    if isinstance(raw, str) and raw[:1].isalpha():
        raise Wrong("bad_choice", f'must be "unfinished", "pending" or a duration, got "{raw}"')
    return period.read(raw, place)


def _on_conflict(raw: Any, place: Place) -> Any:
    if raw == "replace":
        raise Wrong("unsupported", forms.unsupported('on_conflict = "replace"'))
    return forms.choice("skip", "error").read(raw, place)


def _account(what: str) -> Form:
    def read(raw: Any, _: Place) -> str:
        if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
            return str(raw)
        name = forms.string(raw)
        if not name or name.startswith("-") or any(c in ":/, \t\n" for c in name):
            raise Wrong("bad_name", f'"{raw}" is no {what}')
        return name

    return Form(read, {"type": ["string", "integer"]})


def _tag() -> Form:
    return forms.matching(r"[^\s,]{1,64}", "bad_name", "is no tag: 1 to 64 characters without space and comma")


def _schema_or_path() -> Form:
    path = forms.path()

    def read(raw: Any, place: Place) -> Any:
        # A table is taken as it is; a path is read by read.py, which must know every file a Config depends on.
        return raw if isinstance(raw, dict) else path.read(raw, place)

    return Form(read, {"anyOf": [path.schema, {"type": "object"}]})


RETENTION = {
    "completed": Key("completed_ms", forms.duration(never="forever")),
    "cancelled": Key("cancelled_ms", forms.duration(never="forever")),
    "skipped": Key("skipped_ms", forms.duration(never="forever")),
    "failed": Key("failed_ms", forms.duration(never="forever")),
    "keep_last": Key("keep_last", forms.integer(0), "the newest N finished jobs per name stay"),
}
LIMITS = {
    "memory": Key("memory", forms.size(), "address space"),
    "file_size": Key("file_size", forms.size()),
    "cpu_time": Key("cpu_time_ms", forms.duration(low=1_000)),
    "open_files": Key("open_files", forms.integer(3)),
    "processes": Key("processes", forms.integer(1)),
}

PRIORITY = Key("priority", forms.integer(-1000, 1000), "higher first")
MAX_ATTEMPTS = Key("max_attempts", forms.integer(1, 1000), "attempts in all")
BACKOFF = Key("backoff", _backoff(), "wait after a failure: a duration, a list of them, or a table")
TIMEOUT = Key("timeout_ms", forms.duration(never="none", zero=False), "longest time of one attempt")
EXPIRES = Key("expires_ms", forms.duration(never="none", zero=False), "cancel if not started so long after it is due")

# Keys a definition and [defaults] share.
COMMON: dict[str, Key] = {
    "shell_bin": Key("shell_bin", forms.array(forms.text(), least=1), "program and options; the text comes last"),
    "interpreter": Key("interpreter", forms.path(), "Python 3.8 or newer, needs no kiribi"),
    "reuse": Key("reuse", forms.integer(1), "jobs per pooled child"),
    "hidden": Key("hidden", forms.boolean(), "leave out of def ls and completion"),
    "tags": Key("tags", forms.array(_tag(), most=20)),
    "queue": Key("queue", forms.name_of("queue")),
    "priority": PRIORITY,
    "max_attempts": MAX_ATTEMPTS,
    "backoff": BACKOFF,
    "stop_signal": Key("stop_signal", _signal(), "sent to the process group on timeout, cancel and worker stop"),
    "kill_after": Key("kill_after_ms", forms.duration(), "then SIGKILL to every process of the job"),
    "on_worker_death": Key("on_worker_death", forms.choice("kill", "adopt")),
    "success_codes": Key("success_codes", _codes(), "exit codes that mean completed"),
    "retry_codes": Key("retry_codes", _codes(), "when set, other failures are final"),
    "fail_codes": Key("fail_codes", _codes(), "exit codes that are final at once"),
    "max_snoozes": Key("max_snoozes", forms.integer(0), 'how often a job may say "try again later" (exit 75)'),
    "timeout": TIMEOUT,
    "expires": EXPIRES,
    "concurrency": Key("concurrency", forms.integer(1, none=True), "running jobs of this definition"),
    "rate": Key("rate", later("rate")),
    "stdin": Key("stdin", forms.choice("json", "none")),
    "result": Key("result", forms.choice("file", "stdout", "none"), "where the result comes from"),
    "payload_max": Key("payload_max", forms.size(high=PAYLOAD_LIMIT)),
    "result_max": Key("result_max", forms.size(high=PAYLOAD_LIMIT)),
    "cwd": Key("cwd", forms.path(), "default: the folder of the file"),
    "env": Key("env", forms.mapping(forms.text(), VARIABLE, "an environment variable")),
    "env_file": Key(
        "env_file", forms.array(forms.path(may_be_missing=True), lone=True), 'KEY=VALUE lines; "?path" may be missing'
    ),
    "env_inherit": Key("env_inherit", forms.array(forms.text()), "what a job gets of the worker's environment"),
    "umask": Key("umask", _umask()),
    "nice": Key("nice", forms.integer(-20, 19)),
    "limits": Key("limits", forms.table(LIMITS)),
    "retention": Key("retention", forms.table(RETENTION)),
    "log_max": Key("log_max", forms.size(), "over it, the first and the last half are kept"),
    "redact": Key("redact", forms.array(forms.text()), "shown as *** in every output"),
}

COMMAND = Key("command", forms.array(forms.text(), least=1), "argv, no shell; one element stays one argument")
SHELL = Key("shell", forms.text(), "text for shell_bin; payload values arrive as $KIRIBI_ARG_...")
DEFINITION: dict[str, Key] = {
    "command": COMMAND,
    "shell": SHELL,
    "python": Key(
        "python",
        forms.matching(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", "bad_name", 'is not "pkg.mod:func"'),
    ),
    "http": Key("http", later("http")),
    "steps": Key("steps", later("a flow (steps)")),
    "description": Key("description", forms.text(longest=200, lines=False), "one line"),
    **COMMON,
    "unique": Key("unique", _unique(), "which jobs are duplicates"),
    "mutex": Key("mutex", later("mutex")),
    "params": Key("params", params_form(), "short typed schema of the payload"),
    "payload_schema": Key("payload_schema", _schema_or_path(), "JSON Schema 2020-12 of the payload"),
    "user": Key("user", _account("user"), "needs a worker started as root"),
    "group": Key("group", _account("group"), "needs a worker started as root"),
    "on": Key("on", later("a hook (on)")),
}

QUEUE: dict[str, Key] = {
    "concurrency": Key("concurrency", forms.integer(1, none=True), "running jobs, over all workers"),
    "rate": Key("rate", later("rate")),
    "priority": PRIORITY,
    "max_attempts": MAX_ATTEMPTS,
    "backoff": BACKOFF,
    "timeout": TIMEOUT,
    "expires": EXPIRES,
}

WORKER = {
    "concurrency": Key("concurrency", forms.integer(1), "slots of one worker; default: the number of CPUs"),
    "drain_timeout": Key("drain_timeout_ms", forms.duration(), "how long a stopping worker waits for running jobs"),
    "poll": Key("poll_ms", forms.duration(low=50, high=60_000), "longest sleep between two looks at the queue"),
    "lease": Key(
        "lease_ms", forms.duration(low=10_000), "a worker that has not been heard for so long is taken for lost"
    ),
    "min_free": Key("min_free", forms.size(), "with less free disk nothing is claimed"),
}
LOGS = {
    "dir": Key("dir", forms.path()),
    "max_per_attempt": Key("max_per_attempt", forms.size()),
    "total": Key("total", forms.size()),
    "compress_after": Key("compress_after_ms", forms.duration(never="none")),
}
WEB = {
    "host": Key("host", forms.text()),
    "port": Key("port", forms.integer(0, 65_535)),
    "read_only": Key("read_only", forms.boolean()),
    "base_path": Key("base_path", forms.text()),
    "allow_hosts": Key("allow_hosts", forms.array(forms.text())),
    "token_file": Key("token_file", forms.path()),
    "users_file": Key("users_file", forms.path()),
}
_AGES = {"warning": Key("warning", forms.duration()), "critical": Key("critical", forms.duration())}
_SIZES = {"warning": Key("warning", forms.size()), "critical": Key("critical", forms.size())}
HEALTH = {
    "expect": Key("expect", forms.mapping(forms.duration(zero=False), r"[^\x00-\x1f]+", "a job")),
    "schedule_late": Key("schedule_late", forms.choice("critical", "warning", "none")),
    "no_worker": Key("no_worker_ms", forms.duration(never="none")),
    "oldest_pending": Key("oldest_pending_ms", forms.table(_AGES)),
    "failure_rate": Key(
        "failure_rate",
        forms.table(
            {
                "window": Key("window_ms", forms.duration(zero=False)),
                "min_jobs": Key("min_jobs", forms.integer(1)),
                "warning": Key("warning", forms.number(0, 1)),
                "critical": Key("critical", forms.number(0, 1)),
            },
            model.FailureRate,
        ),
    ),
    "disk_free": Key("disk_free", forms.table(_SIZES)),
}


def _health(**values: Any) -> model.Health:
    standard = model.Health()
    for name, (warning, critical) in (
        ("oldest_pending_ms", standard.oldest_pending_ms),
        ("disk_free", standard.disk_free),
    ):
        if name in values:
            values[name] = (values[name].get("warning", warning), values[name].get("critical", critical))
    return model.Health(**values)


def _timezone() -> Form:
    def read(raw: Any, _: Place) -> str:
        from zoneinfo import ZoneInfo, available_timezones

        try:
            ZoneInfo(forms.string(raw))
        except (KeyError, ValueError, OSError):
            near = meant(raw.rpartition("/")[2], (zone.rpartition("/")[2] for zone in available_timezones()))
            zone = next((zone for zone in sorted(available_timezones()) if near and zone.endswith(near)), None)
            raise Wrong("bad_timezone", f'"{raw}" is no time zone, such as "Europe/Berlin"', zone) from None
        return str(raw)

    return Form(read, {"type": "string"})


def _logs(**values: Any) -> model.Logs:
    if "dir" in values:
        values["dir"] = Path(values["dir"])
    return model.Logs(**values)


def _web(**values: Any) -> model.Web:
    for name in ("token_file", "users_file"):
        if name in values:
            values[name] = Path(values[name])
    return model.Web(**values)


# What the top level holds besides the tables of named things (defaults, queues, jobs), which read.py takes apart.
SETTINGS: dict[str, Key] = {
    "version": Key("version", forms.integer(-(2**63))),
    "db": Key("db", forms.text()),
    "durability": Key("durability", forms.choice("full", "normal"), '"normal" may lose the last jobs in a power cut'),
    "timezone": Key("timezone", _timezone()),
    "include": Key("include", forms.array(forms.text()), "more files; they may hold jobs, queues and schedules"),
    "redact": Key("redact", forms.array(forms.text()), "replaces the default list"),
    "worker": Key("worker", forms.table(WORKER, model.Worker)),
    "logs": Key("logs", forms.table(LOGS, _logs)),
    "retention": Key("retention", forms.table({**RETENTION, "events": Key("events", forms.duration(never="forever"))})),
    "web": Key("web", forms.table(WEB, _web)),
    "health": Key("health", forms.table(HEALTH, _health)),
}
