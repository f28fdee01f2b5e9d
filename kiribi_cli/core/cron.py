"""Cron expressions: what the text says, as a value. Which moments it means is the business of ticks.py.

Written for kiribi: what Debian's cron reads means the same here; what other programs read in silence and nobody can
have meant (`22-2`, `*/90`, `31 2`) is refused with a sentence that says what to write.
"""

from kiribi_cli.core.records import dataclass


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression, expanded. Every tuple is sorted; weekdays count from Sunday, 0 to 6.

    `both_days`: day of month and weekday must both match, because one of the fields starts with `*`; else one is
    enough. `elapsed`: the minute or the hour field starts with `*`, so it follows elapsed time through a change of the
    clocks; any other entry fires once for each time of day that it names (semantics.md, 8).
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    both_days: bool
    elapsed: bool


class BadCronError(ValueError):
    """The text is no cron expression; the message is one sentence: which field, what is wrong, what to write."""


WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the six: its numbers, its names, and the last number that `H` may choose (28 in any month)."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    last_of_h: int | None = None

    @property
    def count(self) -> int:
        """How many values there are; a seventh weekday is the first again."""
        return len(self.names) or self.high - self.low + 1


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of month", 1, 31, last_of_h=28)
_MONTH = _Field("month", 1, 12, MONTHS)
_WEEKDAY = _Field("weekday", 0, 7, WEEKDAYS, last_of_h=6)
_SECOND = _Field("second", 0, 59)
_FIELDS = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY, _SECOND)

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def parse(text: str, name: str = "") -> Cron:
    """Read an expression of five fields, of six with seconds at the end, or a name such as `@daily`.

    `name`, of the schedule, decides what `H` stands for. Raises BadCronError.

    >>> cron = parse("30 2 * * mon-fri")
    >>> cron.minutes, cron.hours, cron.weekdays, cron.both_days, cron.elapsed
    ((30,), (2,), (1, 2, 3, 4, 5), True, False)
    >>> parse("22-2 * * * *")
    Traceback (most recent call last):
    kiribi_cli.core.cron.BadCronError: minute "22-2" runs backwards: write 22-59,0-2
    """
    words = _fields(text)
    minutes, hours, days, months, weekdays = (_expand(*each, name) for each in zip(_FIELDS[:5], words, strict=False))
    seconds = _expand(_SECOND, words[5], name) if len(words) == 6 else (0,)
    # Where the weekday does not start with `*`, it is enough on its own.
    if words[4].startswith("*") and not any(day <= LONGEST_MONTHS[month - 1] for month in months for day in days):
        raise BadCronError(
            f'day of month "{words[2]}" does not exist in month "{words[3]}", so it would never run: '
            "write another day or month"
        )
    return Cron(
        seconds=seconds,
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        both_days=words[2].startswith("*") or words[4].startswith("*"),
        elapsed=words[0].startswith("*") or words[1].startswith("*"),
    )


def _fields(text: str) -> list[str]:
    """The words of the expression: five or six."""
    words = text.replace("\t", " ").strip(" ").split(" ")
    words = [word for word in words if word]
    if not words:
        raise BadCronError("it is empty: write five fields, minute hour day month weekday, such as 30 2 * * *")
    strange = next((each for each in text if not (" " <= each <= "~" or each == "\t")), None)
    if strange is not None:
        raise BadCronError(f"it holds the character {strange!a}: write plain letters, digits and * , - / on one line")
    if words[0].startswith("@"):
        return _nickname(words)
    if len(words) in (5, 6):
        _refuse_pasted(words)
        return words
    from kiribi_cli.core.cron_foreign import wrong_count

    raise BadCronError(wrong_count(words))


def _nickname(words: list[str]) -> list[str]:
    meant = _NICKNAMES.get(words[0].lower())
    if meant is not None and len(words) == 1:
        return meant.split()
    from kiribi_cli.core.cron_foreign import wrong_nickname

    raise BadCronError(wrong_nickname(words, tuple(_NICKNAMES)))


def _refuse_pasted(words: list[str]) -> None:
    """A calendar text of systemd, or a line of a crontab: as many words as an expression by chance."""
    if (words[5:] and not _is_like_field(words[5])) or any(":" in word for word in words):
        from kiribi_cli.core.cron_foreign import wrong_count

        raise BadCronError(wrong_count(words))


def _is_like_field(word: str) -> bool:
    return all(each in "0123456789*,-/H()?LW#R~" for each in word)


def _expand(field: _Field, text: str, name: str) -> tuple[int, ...]:
    """The values of one field."""
    values: set[int] = set()
    for item in text.split(","):
        values.update(_item(field, item, text, name))
    if field is _WEEKDAY and 7 in values:
        values = values - {7} | {0}
    return tuple(sorted(values))


def _item(field: _Field, item: str, text: str, name: str) -> range:
    """One item of a list: `*`, `5`, `1-5`, `mon-fri`, `H`, `H(0-15)`, each with or without `/n`."""
    if not item:
        raise _bad(field, text, "has an empty item", "one comma between two items")
    span, slash, step_text = item.partition("/")
    step = _step(field, step_text, item) if slash else None
    if span[:1] in ("H", "h") and (span[1:] == "" or span[1] == "("):
        return _hashed(field, span, step, item, name)
    if span == "*":
        return _stepped(field, field.low, field.low + field.count - 1, step, item)
    first_text, dash, last_text = span.partition("-")
    first = _number(field, first_text, item)
    if dash:
        return _stepped(field, first, _last(field, first, last_text, item, step), step, item)
    if step is None:
        return range(first, first + 1)
    # Debian's cron refuses it, everybody else reads "from 5 on"; for a weekday nobody can say whether 7 belongs to it.
    if field is _WEEKDAY:
        raise _bad(field, item, "has a step but no range", f"{first_text}-6/{step} or {first_text}-7/{step}")
    return _stepped(field, first, field.high, step, item)


def _stepped(field: _Field, first: int, last: int, step: int | None, item: str) -> range:
    count = last - first + 1
    if step is not None and step > count:
        raise _bad(field, item, f"has a step of {step} over {count} values, so only {first} is left", f"{first}")
    return range(first, last + 1, step or 1)


def _hashed(field: _Field, span: str, step: int | None, item: str, name: str) -> range:
    """`H`: a value that stays the same for this name, so that many schedules do not start in the same minute."""
    first, last = field.low, field.high if field.last_of_h is None else field.last_of_h
    if span[1:]:
        first_text, dash, last_text = span[2:].removesuffix(")").partition("-")
        if not span.endswith(")") or not dash:
            raise _bad(field, item, "is not a range to choose from", f"H({first}-{last})")
        first = _number(field, first_text, item)
        last = _last(field, first, last_text, item, None)
    from kiribi_cli.core.digest import sha256

    chosen = int.from_bytes(sha256(f"{field.name}\0{name}".encode("utf-8", "surrogatepass"))[:8], "big")
    if step is None:
        value = first + chosen % (last - first + 1)
        return range(value, value + 1)
    _stepped(field, first, last, step, item)
    return range(first + chosen % step, last + 1, step)


def _last(field: _Field, first: int, last_text: str, item: str, step: int | None) -> int:
    """The end of a range, which does not run backwards."""
    last = _number(field, last_text, item)
    if last >= first:
        return last
    top = field.low + field.count - 1
    if item[0] in "Hh":
        raise _bad(field, item, "runs backwards", f"H({last}-{first})")
    if step is None:
        spelled = item.partition("-")[0]
        head = spelled if first == top else f"{spelled}-{_spelled(field, top, item)}"
        tail = _spelled(field, last, item) if last == field.low else f"{_spelled(field, field.low, item)}-{last_text}"
        raise _bad(field, item, "runs backwards", f"{head},{tail}" if first <= top else tail)
    wrapped = range(first, last + field.count + 1, step)
    values = ((value - field.low) % field.count + field.low for value in wrapped)
    raise _bad(field, item, "runs backwards", ",".join(_spelled(field, value, item) for value in values))


def _spelled(field: _Field, value: int, item: str) -> str:
    """A value in the manner of the item: by name where that has names."""
    return field.names[value - field.low] if field.names and any(each.isalpha() for each in item) else str(value)


def _step(field: _Field, text: str, item: str) -> int:
    if not text.isdecimal():
        raise _bad(field, item, f'has "{text}" after the slash', f"a whole number, such as {item.partition('/')[0]}/2")
    step = int(text[:9])
    if step == 0:
        raise _bad(field, item, "has a step of 0", f"{item.partition('/')[0]} or a step from 1 on")
    return step


def _number(field: _Field, text: str, item: str) -> int:
    if text.isdecimal():
        value = int(text[:9])
        if field.low <= value <= field.high:
            return value
        raise _bad(field, item, "is out of range", f"{field.low} to {field.high}")
    lower = text.lower()
    if lower in field.names:
        return field.names.index(lower) + field.low
    if field.names and lower[:3] in field.names:
        raise _bad(field, item, "is not known", f"{lower[:3]}, the first three letters")
    from kiribi_cli.core.cron_foreign import foreign_sign

    wrong, right = foreign_sign(text, item, low=field.low, high=field.high, names=field.names)
    raise _bad(field, item, wrong, right)


def _bad(field: _Field, item: str, wrong: str, right: str) -> BadCronError:
    shown = item if len(item) <= 40 else item[:40] + "..."
    return BadCronError(f'{field.name} "{shown}" {wrong}: write {right}')
