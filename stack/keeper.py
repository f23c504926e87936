"""The dead man's switch: when the run that started it is gone, however it went, its children end.

`python -m stack.keeper MARK` waits until its standard input closes, which the system does for a killed run too.
"""

from __future__ import annotations

import os
import signal
import sys

from stack.leftovers import end, marked


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the run, which then closes the pipe
    while os.read(0, 4096):
        pass
    end(marked(sys.argv[1]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
