"""`python -m benchmarks [NAME ...]`."""

from __future__ import annotations

import difflib
import sys

from rich.console import Console
from rich.table import Table

from benchmarks.record import available, run


def main(names: list[str]) -> int:
    """Lists the benchmarks, or runs the named ones. Returns the exit status."""
    console, known = Console(), available()
    if not names:
        listed = Table(title="python -m benchmarks NAME")
        listed.add_column("name")
        listed.add_column("what it measures")
        for name, title in known.items():
            listed.add_row(name, title)
        console.print(listed)
        return 0
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean '{close[0]}'? " if close else ""
            console.print(f"Unknown benchmark '{name}'. {hint}Available: {', '.join(known)}.")
            return 2
    for name in names:
        run(name, console)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
