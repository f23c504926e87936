"""The plan as a form, made from the plugins' and the plan's own schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ml_backend.loop.plan import Advice, ColdStart, Plan, Policy, WholeVideos
from ml_backend.server.schema_form import FormField, fields_of
from plugins import registry
from plugins.registry import Listing

MAIN = ("batch", "control", "show_predictions", "show_reasons", "seed")
BOXES = ("shown_from",)
COLD = ("labels_per_class", "at_most")
TARGET = "target"  # a setting of selectors that balance: a name, or a share for each class
OWN = "own"


@dataclass(frozen=True)
class Share:
    """One class' slider. value: 0 .. 100, in proportion to the others."""

    field: str
    name: str
    value: int


@dataclass(frozen=True)
class PluginForm:
    """One plugin with its settings. mode: of its class targets, 'uniform', 'pool' or 'own'; None where it has none."""

    name: str
    title: str
    summary: str
    chosen: bool
    weight: str
    fields: tuple[FormField, ...]
    fits: bool = True
    error: str | None = None
    mode: str | None = None
    mode_help: str = ""
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True)
class PlanForm:
    scorers: tuple[PluginForm, ...]
    selectors: tuple[PluginForm, ...]
    learners: tuple[PluginForm, ...]
    main: tuple[FormField, ...]
    policy: tuple[FormField, ...]
    videos: tuple[FormField, ...]
    cold_on: bool
    cold_selector: str
    cold: tuple[FormField, ...]
    advice_on: bool
    advice: tuple[FormField, ...]


def plan_form(
    plan: Plan,
    classes: Sequence[str],
    answers: str,
    sent: Mapping[str, str] | None = None,
    *,
    whole_videos: bool = False,
) -> PlanForm:
    """answers: what the project asks learners for, 'classes' or 'boxes'. sent: a form that came back with a fault,
    whose texts are shown again. whole_videos: whether a task shows one."""
    body = plan.model_dump(mode="json")
    cold = body["cold_start"]
    form = PlanForm(
        scorers=tuple(_scorers(body["scorers"], classes, answers)),
        selectors=tuple(_one_of("selector", body["selector"], classes, answers)),
        learners=tuple(_one_of("learner", body["learner"], classes, answers)),
        main=tuple(fields_of(Plan, body, "plan.", only=MAIN + (BOXES if answers == "boxes" else ()))),
        policy=tuple(fields_of(Policy, body["policy"], "policy.")),
        videos=tuple(fields_of(WholeVideos, body["videos"], "videos.")) if whole_videos else (),
        cold_on=cold is not None,
        cold_selector=(cold or ColdStart().model_dump())["selector"]["name"],
        cold=tuple(fields_of(ColdStart, cold or {}, "cold.", only=COLD)),
        advice_on=body["advice"] is not None,
        advice=tuple(fields_of(Advice, body["advice"] or {}, "advice.")),
    )
    return form if sent is None else _as_sent(form, sent)


def _scorers(chosen: list[dict[str, Any]], classes: Sequence[str], answers: str) -> list[PluginForm]:
    """Those of the plan first, in its order."""
    mine = {one["name"]: one for one in chosen}
    listed = registry.available("scorer")
    names = [*mine, *(name for name in listed if name not in mine)]
    forms = []
    for name in names:
        weight = f"{mine[name]['weight']:g}" if name in mine else "1"
        config = mine[name]["config"] if name in mine else {}
        forms.append(_plugin("scorer", name, listed.get(name), config, name in mine, classes, answers, weight))
    return [form for form in forms if form.chosen or not _only_simulated(listed.get(form.name))]


def _one_of(kind: str, chosen: dict[str, Any], classes: Sequence[str], answers: str) -> list[PluginForm]:
    listed = registry.available(kind)
    names = [*([] if chosen["name"] in listed else [chosen["name"]]), *listed]
    forms = [
        _plugin(
            kind, name, listed.get(name), chosen["config"] if name == chosen["name"] else {}, name == chosen["name"],
            classes, answers,
        )
        for name in names
    ]  # fmt: skip
    return [form for form in forms if form.chosen or (form.fits and form.error is None)]


def _plugin(
    kind: str,
    name: str,
    listing: Listing | None,
    config: dict[str, Any],
    chosen: bool,
    classes: Sequence[str],
    answers: str,
    weight: str = "1",
) -> PluginForm:
    if listing is None or listing.cls is None:
        error = listing.error if listing is not None else "it is not installed any more"
        return PluginForm(name, name, "", chosen, weight, (), error=error or "it cannot be loaded")
    cls, prefix = listing.cls, f"{kind}.{name}."
    fields = [field for field in fields_of(cls.Config, config, f"{prefix}config.")]
    mode: str | None = None
    mode_help, shares = "", tuple[Share, ...]()
    if TARGET in cls.Config.model_fields:
        field = next(field for field in fields if field.name == f"{prefix}config.{TARGET}")
        fields.remove(field)
        target = config.get(TARGET, cls.Config.model_fields[TARGET].default)
        mode, mode_help = (target, field.help) if isinstance(target, str) else (OWN, field.help)
        shares = tuple(_shares(prefix, classes, target))
    return PluginForm(
        name, cls.title, cls.summary, chosen, weight, tuple(fields), _fits(kind, listing, answers), None, mode,
        mode_help, shares,
    )  # fmt: skip


def _shares(prefix: str, classes: Sequence[str], target: Any) -> list[Share]:
    """The largest share stands at 100."""
    given = target if isinstance(target, dict) else dict.fromkeys(classes, 1)
    largest = max(given.values(), default=0) or 1
    return [
        Share(f"{prefix}share.{number}", name, round(100 * given.get(name, 0) / largest))
        for number, name in enumerate(classes)
    ]


def _fits(kind: str, listing: Listing, answers: str) -> bool:
    """Whether the plugin reads nothing that only learners of another kind of answer give."""
    if kind == "learner":
        return getattr(listing.cls, "answers", answers) == answers
    needs: set[str] = set(getattr(listing.cls, "needs", ()))
    ours, others = _given(answers, same=True), _given(answers, same=False)
    return not needs & (others - ours)


def _given(answers: str, *, same: bool) -> set[str]:
    """Evidence of the learners that give these answers, or of the others."""
    classes = [one.cls for one in registry.available("learner").values() if one.cls is not None]
    chosen = [cls for cls in classes if (getattr(cls, "answers", answers) == answers) == same]
    return set().union(*(getattr(cls, "provides", ()) for cls in chosen))


def _only_simulated(listing: Listing | None) -> bool:
    needs = getattr(listing.cls, "needs", ()) if listing is not None else ()
    return any(name == "truth" or name.startswith("truth_") for name in needs)


def _as_sent(form: PlanForm, sent: Mapping[str, str]) -> PlanForm:
    """The form with the texts that someone sent."""

    def fields(those: tuple[FormField, ...]) -> tuple[FormField, ...]:
        return tuple(replace(one, value=sent.get(one.name, "" if one.kind == "switch" else one.value)) for one in those)

    def plugin(kind: str, one: PluginForm) -> PluginForm:
        prefix = f"{kind}.{one.name}."
        chosen = f"{prefix}on" in sent if kind == "scorer" else sent.get(kind) == one.name
        shares = tuple(replace(s, value=_slider(sent.get(s.field), s.value)) for s in one.shares)
        return replace(
            one,
            chosen=chosen,
            weight=sent.get(f"{prefix}weight", one.weight),
            fields=fields(one.fields),
            mode=sent.get(f"{prefix}{TARGET}", one.mode) if one.mode is not None else None,
            shares=shares,
        )

    return PlanForm(
        scorers=tuple(plugin("scorer", one) for one in form.scorers),
        selectors=tuple(plugin("selector", one) for one in form.selectors),
        learners=tuple(plugin("learner", one) for one in form.learners),
        main=fields(form.main),
        policy=fields(form.policy),
        videos=fields(form.videos),
        cold_on="cold.on" in sent,
        cold_selector=sent.get("cold.selector", form.cold_selector),
        cold=fields(form.cold),
        advice_on="advice.on" in sent,
        advice=fields(form.advice),
    )


def _slider(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 4 else otherwise
