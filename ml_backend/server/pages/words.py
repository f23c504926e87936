"""Numbers and moments as people read them; each function is a filter of the templates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

from ml_backend.store.tables import now

NOTHING = "–"


def number(value: float | None) -> str:
    """With thin spaces between thousands.

    >>> number(100000) == "100\\u202f000"
    True
    """
    return NOTHING if value is None else f"{value:,.0f}".replace(",", "\u202f")


def percent(value: float | None, digits: int = 1) -> str:
    """A share of 1.

    >>> percent(0.9123), percent(None)
    ('91.2 %', '–')
    """
    return NOTHING if value is None else f"{100 * value:.{digits}f}\u00a0%".replace("\u00a0", " ")


def span(seconds: float | None) -> str:
    """How long something takes, in two units at most.

    >>> span(0.04), span(3.25), span(75), span(7200), span(200000)
    ('0.04 s', '3.2 s', '1 min 15 s', '2 h', '2 d 7 h')
    """
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole % 86400 // 3600, whole % 3600 // 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (whole % 60, "s")]
    first = next(i for i, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def since(moment: datetime, at: datetime | None = None) -> str:
    """How long ago, roughly.

    >>> from datetime import timedelta
    >>> since(now() - timedelta(minutes=5)), since(now() + timedelta(hours=3))
    ('5 minutes ago', 'in 3 hours')
    """
    seconds = ((at or now()) - moment).total_seconds()
    past, size = seconds >= 0, abs(seconds) + 0.5
    units = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"))
    length, unit = next(((length, unit) for length, unit in units if size >= length), (1.0, "second"))
    count = int(size // length)
    if unit == "second" and count < 10:
        return "just now"
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{words} ago" if past else f"in {words}"


def ago(moment: datetime | None) -> str:
    """As `since`, with the exact time for whoever asks."""
    if moment is None:
        return NOTHING
    exact = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.isoformat(), exact, since(moment))


def size(count: int | None) -> str:
    """Bytes.

    >>> size(512), size(3_500_000)
    ('512 B', '3.5 MB')
    """
    if count is None:
        return NOTHING
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def plural(count: int, word: str) -> str:
    """
    >>> plural(1, "task"), plural(2000, "task")
    ('1 task', '2\u202f000 tasks')
    """
    return f"{number(count)} {word}{'' if count == 1 else 's'}"


def code(sentence: str) -> Markup:
    """What stands between backticks, as in all our sentences, as code.

    >>> code("Run `nextlabel worker` <now>.")
    Markup('Run <code>nextlabel worker</code> &lt;now&gt;.')
    """
    parts = sentence.split("`")
    if len(parts) % 2 == 0:  # one that has no partner
        return Markup(escape(sentence))
    marked = (Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts))
    return Markup("").join(marked)


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "percent": percent,
    "span": span,
    "ago": ago,
    "size": size,
    "plural": plural,
    "code": code,
}
