"""`python -m stack`: what `make run` calls."""

from stack.run import main

if __name__ == "__main__":
    raise SystemExit(main())
