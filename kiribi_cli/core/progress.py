"""How far a job says it is: the last line of its progress file, read."""

import re

# Numbers of a sane length: a job may write anything, and thousands of digits are more than a float can hold.
_NUMBER = r"\d{1,15}(?:\.\d{1,15})?"
_SHARE = re.compile(rf"\s*(?:({_NUMBER})\s*%|(\d{{1,15}})\s*/\s*(\d{{1,15}})|({_NUMBER}))(?:\s+|$)(.*)", re.DOTALL)


def read_progress(line: str) -> tuple[float | None, str]:
    """Read `0.7 rows 7000`, `70% rows 7000` or `7/10 rows 7000`: the fraction (0 to 1) and what is said with it.

    >>> read_progress("0.7 rows"), read_progress("70% rows"), read_progress("7/10"), read_progress("warming up")
    ((0.7, 'rows'), (0.7, 'rows'), (0.7, ''), (None, 'warming up'))
    >>> read_progress("9" * 400 + "/1 x")[0], read_progress("9" * 5000 + "% x")[0]
    (None, None)
    """
    match = _SHARE.fullmatch(line.strip())
    if not match:
        return None, line.strip()
    percent, done, whole, share, message = match.groups()
    if percent is not None:
        fraction = float(percent) / 100
    elif done is not None:
        fraction = int(done) / int(whole) if int(whole) else 0.0
    else:
        fraction = float(share)
    # 7000 alone is no share of anything.
    return (fraction, message) if fraction <= 1 else (None, line.strip())
