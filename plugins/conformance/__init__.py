"""The contract suite: what every scorer and selector must hold, ours or a stranger's. Nothing here needs a test runner.

In the tests of a package:

    @pytest.mark.parametrize("check", suite(MyScorer), ids=lambda check: check.__name__)
    def test_contract(check):
        check()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plugins.conformance.every_plugin import PLUGIN_CHECKS
from plugins.conformance.faults import BrokenContractError, run
from plugins.conformance.scorers import SCORER_CHECKS
from plugins.conformance.selectors import SELECTOR_CHECKS
from plugins.contract import Plugin, Scorer, Selector

__all__ = ["PLUGIN_CHECKS", "SCORER_CHECKS", "SELECTOR_CHECKS", "BrokenContractError", "run", "suite"]


def suite(plugin: type[Plugin[Any]], config: dict[str, Any] | None = None) -> tuple[Callable[[], None], ...]:
    """Every check that a plugin must pass, each with its name; a call raises BrokenContractError with the fault.

    config: settings to check it under, where the defaults take long.

    >>> from plugins.uncertainty.margin import Margin
    >>> checks = suite(Margin)
    >>> checks[0].__name__
    'says_what_it_is'
    >>> for check in checks[:3]: check()
    """
    ready = plugin(plugin.Config.model_validate(config or {}))
    own: tuple[Callable[[Any], None], ...]
    if isinstance(ready, Scorer):
        own = SCORER_CHECKS
    elif isinstance(ready, Selector):
        own = SELECTOR_CHECKS
    else:
        raise TypeError(f"{plugin.__name__} is neither a Scorer nor a Selector; the suite knows no other kind.")
    return (*(_bound(check, plugin) for check in PLUGIN_CHECKS), *(_bound(check, ready) for check in own))


def _bound(check: Callable[[Any], None], plugin: Any) -> Callable[[], None]:
    def passes() -> None:
        run(check, plugin)

    passes.__name__ = check.__name__
    return passes
