"""What people paste where a cron expression belongs: the sentences that say what to write instead."""

_WORDS = {
    "minutely": "* * * * *",
    "hourly": "@hourly",
    "daily": "@daily",
    "weekly": "0 0 * * mon",
    "monthly": "@monthly",
    "quarterly": "0 0 1 1,4,7,10 *",
    "semiannually": "0 0 1 1,7 *",
    "yearly": "@yearly",
    "annually": "@yearly",
    "reboot": "@reboot",
}
_FIVE = "five fields, minute hour day month weekday"


def wrong_count(words: list[str]) -> str:
    """The sentence for a text that has not five or six fields, or only by chance."""
    if len(words) == 1 and (meant := _WORDS.get(words[0].lower())):
        return f'"{words[0]}" is not five fields: write {meant}'
    if any(":" in word for word in words) and len(words) <= 4:
        return _calendar(words)
    shown = " ".join(words[:5])
    if len(words) == 6:
        return (
            f'the sixth field is seconds, and "{_cut(words[5])}" is none: write {shown}, and what to run under [jobs]'
        )
    if len(words) > 6:
        if all(word[0] in "0123456789*H?" for word in words):
            return f"it has {len(words)} fields: write {_FIVE}, or a sixth at the end for seconds; there is no year"
        return f"it has {len(words)} words: write the times alone ({_cut(shown)}), and what to run under [jobs]"
    if len(words) == 5:
        return f'"{next(word for word in words if ":" in word)}" is no field: write {_FIVE}, such as 30 2 * * *'
    return f"it has {len(words)} field{'s' * (len(words) > 1)}: write {_FIVE}, such as 30 2 * * *"


def _calendar(words: list[str]) -> str:
    """A calendar text of systemd: turned where it is simple, so that it can be copied."""
    clock, rest = words[-1], words[:-1]
    weekday = "*"
    if rest and rest[0][0].isalpha():
        days = rest.pop(0).lower().split(",")
        weekday = ",".join("-".join(end[:3] for end in day.split("..")) for day in days)
    parts = clock.split(":")
    is_simple = (
        rest in ([], ["*-*-*"])
        and len(parts) in (2, 3)
        and all(part.isascii() and part.isdecimal() and len(part) <= 2 for part in parts)
    )
    if not is_simple:
        return f"it is a calendar text of systemd: write {_FIVE}, such as 30 2 * * mon for Mon *-*-* 02:30"
    second = f" {int(parts[2])}" if parts[2:] and int(parts[2]) else ""
    return f"it is a calendar text of systemd: write {int(parts[1])} {int(parts[0])} * * {weekday}{second}"


def wrong_nickname(words: list[str], known: tuple[str, ...]) -> str:
    """The sentence for what begins with `@` and is no name of a time."""
    first = words[0].lower()
    if first == "@reboot":
        return '"@reboot" stands alone: write @reboot and nothing else'
    if first == "@every":
        return f'"@every" is a key of its own: write every = "{_cut(words[1]) if words[1:] else "5m"}"'
    if first in known:
        return f'"{_cut(words[1])}" follows {first}: write {first} alone, and what to run under [jobs]'
    return f'"{_cut(words[0])}" is not known: write one of {", ".join(known)}, @reboot'


def foreign_sign(text: str, item: str, *, low: int, high: int, names: tuple[str, ...]) -> tuple[str, str]:
    """What is wrong with something that is neither a number nor a name of its field, and what to write."""
    span = f"{low} to {high}" + (f" or {names[0]} to {names[-1]}" if names else "")
    if text == "?":
        return "is of another dialect", "*"
    if "~" in item:
        return "is of another dialect", "H(" + item.replace("~", "-") + ")"
    if text.upper() == "R":
        return "is of another dialect", "H, which stays the same for this schedule"
    if "#" in item or (text[:1].isalnum() and text.upper().endswith(("L", "W"))):
        return "is of another dialect (the last, nearest or nth day)", f"{span} and let the command look at the date"
    if text.startswith("*"):
        return "has something after its star", "* or */n"
    if text == "":
        return "lacks a number", f"{span} on each side of the dash" if "-" in item else span
    return "is not known", span


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."
