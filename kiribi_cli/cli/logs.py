"""`kiribi logs`: what jobs printed."""

from typing import TYPE_CHECKING, Annotated

from kiribi_cli.cli.declared import Argument, Context, Option
from kiribi_cli.cli.wiring import Here, here

if TYPE_CHECKING:
    import re

    from kiribi_cli.actions.logs import Wanted
    from kiribi_cli.cli.log_text import Style
    from kiribi_cli.core.job import Job


def logs(
    ctx: Context,
    jobs: Annotated[
        list[str] | None, Argument(metavar="[ID|NAME]...", help="Default @last; a name means its latest job.")
    ] = None,
    *,
    follow: Annotated[
        bool, Option("-f", "--follow", help="Wait for more, through retries, until the job ends.")
    ] = False,
    number: Annotated[str, Option("-n", "--lines", metavar="N|all", help="Only the last N lines.")] = "all",
    attempt: Annotated[
        str | None, Option("--attempt", metavar="N|all", help="Which attempt; default the latest.")
    ] = None,
    stream: Annotated[str, Option("--stream", metavar="out|err|both", help="Which stream.")] = "both",
    timestamps: Annotated[bool, Option("-t", "--timestamps", help="Put the time in front of each line.")] = False,
    prefix: Annotated[
        bool, Option("--prefix", help="Put job and id in front of each line; automatic for several.")
    ] = False,
    since: Annotated[str | None, Option("--since", metavar="T", help="Not before this time, or this long ago.")] = None,
    until: Annotated[str | None, Option("--until", metavar="T", help="Before this time.")] = None,
    grep: Annotated[str | None, Option("--grep", metavar="REGEX", help="Only lines in which this is found.")] = None,
    raw: Annotated[
        bool, Option("--raw", help="Bytes as written; else only colours pass, and only to a terminal.")
    ] = False,
    path: Annotated[bool, Option("--path", help="Print where the log file is.")] = False,
    timeout: Annotated[
        str | None, Option("--timeout", metavar="T", help="With -f: give up after this time, exit 124.")
    ] = None,
    exit_status: Annotated[bool, Option("--exit-status", help="Exit 1 if the job failed.")] = False,
) -> int:
    """Print what a job printed, both streams in order.

    Examples:
      kiribi logs 42
      kiribi logs -f -n 20 Import
      kiribi logs @last --stream err -t --grep 'error|warning'
      kiribi logs 42 --attempt all --jsonl
    """
    from kiribi_cli.actions.logs import Wanted
    from kiribi_cli.cli.log_text import Style

    at = here(ctx)
    chosen = _jobs(at, jobs or ["@last"])
    wanted = Wanted(
        attempt=_attempt(attempt), stream=_stream(stream), since=at.moment(since, past=True) if since else None,
        until=at.moment(until, past=True) if until else None, grep=_pattern(grep), last=_number(number),
    )  # fmt: skip
    if path:
        return _paths(at, chosen, wanted)
    style = Style(timestamps=timestamps, prefix=prefix or len(chosen) > 1, raw=raw)
    timed_out = _print(at, chosen, wanted, style, follow=follow, timeout=at.duration(timeout) if timeout else None)
    if timed_out:
        return 124
    return _verdict(at, chosen) if exit_status else 0


def _print(at: Here, jobs: "list[Job]", wanted: "Wanted", style: "Style", *, follow: bool, timeout: int | None) -> bool:
    from kiribi_cli import clock
    from kiribi_cli.actions.logs import Following, by_line, pieces
    from kiribi_cli.cli.log_text import write_lines, write_pieces

    lines_needed = wanted.by_line or style.timestamps or style.prefix or at.out.as_json
    if not follow:
        printed = pieces(at.store, at.database.logs, jobs, wanted)
        write_lines(at, by_line(printed, wanted), style) if lines_needed else write_pieces(at, printed, style)
        return False
    until = None if timeout is None else clock.monotonic() + timeout / 1000
    following = Following(at.store, at.database.logs, jobs, wanted, until=until)
    write_lines(at, following.by_line(), style) if lines_needed else write_pieces(at, following.printed(), style)
    return following.timed_out


def _jobs(at: Here, words: list[str]) -> "list[Job]":
    from kiribi_cli.actions.jobs import found_jobs, not_known
    from kiribi_cli.errors import Code, KiribiError

    ids = []
    for word in words:
        if word.isdigit() or word.startswith("@") or word == "-":
            ids += at.ids([word])
        elif (latest := at.store.latest(word)) is not None:
            ids.append(latest)
        elif word in (at.outline.jobs if at.outline else ()):
            raise KiribiError(Code.NOT_FOUND, f"there is no job of {word} yet", hint=f"kiribi enqueue {word}")
        else:
            raise not_known("job", word, at.store.names(), f'no job "{word}" in the history')
    return found_jobs(at.store, list(dict.fromkeys(ids)), now=at.now())


def _paths(at: Here, jobs: "list[Job]", wanted: "Wanted") -> int:
    for job in jobs:
        attempts = at.store.attempts(job.id)
        if wanted.attempt != "all":
            attempts = [one for one in attempts if one.attempt == (wanted.attempt or job.attempt)]
        for one in attempts:
            at.out.line(str(at.database.logs / str(one.id)))
    return 0


def _verdict(at: Here, jobs: "list[Job]") -> int:
    now = at.now()
    stands = at.store.jobs([job.id for job in jobs], now=now)
    return int(any(job.status in ("failed", "cancelled", "skipped") for job in stands))


def _attempt(word: str | None) -> "int | Literal['all'] | None":
    if word is None or word == "latest":
        return None
    if word == "all":
        return "all"
    if word.isascii() and word.isdigit() and int(word[:9]) > 0:
        return int(word[:9])
    raise _refused("--attempt", word, "a number, or all")


def _number(word: str) -> int | None:
    if word == "all":
        return None
    if word.isascii() and word.isdigit():
        return int(word[:9])
    raise _refused("--lines", word, "a number, or all")


def _stream(word: str) -> "Literal['out', 'err'] | None":
    match word:
        case "both":
            return None
        case "out" | "stdout":
            return "out"
        case "err" | "stderr":
            return "err"
        case _:
            raise _refused("--stream", word, "out, err or both")


def _pattern(text: str | None) -> "re.Pattern[bytes] | None":
    import re

    if text is None:
        return None
    try:
        return re.compile(text.encode(errors="surrogateescape"))
    except re.error as error:
        raise _refused("--grep", text, f"a regular expression ({error})") from error


def _refused(option: str, word: str, wish: str) -> Exception:
    from kiribi_cli.errors import Code, KiribiError

    return KiribiError(Code.USAGE, f'{option} is "{word}"', hint=f"write {wish}")


if TYPE_CHECKING:
    from typing import Literal
