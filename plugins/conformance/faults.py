"""What breaks the contract, and how one check is run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any


class BrokenContractError(AssertionError):
    """A plugin does not hold the contract; the message says what it did."""


def must(condition: object, sentence: str) -> None:
    if not condition:
        raise BrokenContractError(sentence)


def must_be_a_sentence(sentence: str) -> None:
    fine = isinstance(sentence, str) and 0 < len(sentence) < 200 and "\n" not in sentence
    must(fine, f"its reason {sentence!r} is not one line of at most 200 characters")


def must_be_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        must(note.endswith("."), f"its note {note!r} does not end with a full stop")


def run(check: Callable[[Any], None], plugin: Any) -> None:
    """One check on one plugin; warnings count as faults. BrokenContractError names the plugin."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check(plugin)
    except BrokenContractError as broken:
        raise BrokenContractError(f"'{plugin.name}' does not pass {check.__name__}: {broken}.") from None
