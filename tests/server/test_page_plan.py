"""The plan's page: a form from schemas that says exactly the plan, previews, versions and what they changed."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from rq import SimpleWorker

from ml_backend.loop import preview_job
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, changed_plan, default_plan, save_plan
from ml_backend.server.plan_form import PlanForm, PluginForm, plan_form
from ml_backend.server.plan_reading import read_plan_form
from ml_backend.server.schema_form import FormError, FormField, fields_of, read_fields
from ml_backend.store.tables import Change
from ml_backend.studio.question import read_question
from tests.server.conftest import People, add_project
from tests.server.steered import steered_project
from tests.server.test_webhook import wishes

HTML = {"Accept": "text/html"}
CLASSES = ("cat", "dog")


@pytest.fixture
def project(rooms: House) -> int:
    return steered_project(rooms)


def filled(form: PlanForm) -> dict[str, str]:
    """What a browser sends of a form that nobody touched."""
    sent: dict[str, str] = {}

    def fields(those: tuple[FormField, ...]) -> None:
        for one in those:
            if one.kind == "switch":
                sent[f"{one.name}.there"] = "1"
                if one.value:
                    sent[one.name] = "on"
            else:
                sent[one.name] = one.value

    for kind, plugins in (("scorer", form.scorers), ("selector", form.selectors), ("learner", form.learners)):
        for plugin in plugins:
            fields(plugin.fields)
            sent |= marks(kind, plugin)
    for part in (form.main, form.policy, form.videos, form.cold, form.advice):
        fields(part)
    sent["cold.selector"] = form.cold_selector
    sent |= {"cold.on": "on"} if form.cold_on else {}
    sent |= {"advice.on": "on"} if form.advice_on else {}
    return sent


def marks(kind: str, plugin: PluginForm) -> dict[str, str]:
    """What it says of a plugin beside its own settings."""
    at = f"{kind}.{plugin.name}"
    sent = {f"{at}.weight": plugin.weight} if kind == "scorer" else {}
    if plugin.mode is not None:
        sent |= {f"{at}.target": plugin.mode, **{share.field: str(share.value) for share in plugin.shares}}
    if plugin.chosen:
        sent |= {f"{at}.on": "on"} if kind == "scorer" else {kind: plugin.name}
    return sent


def said(plan: Plan, sent: dict[str, str]) -> Plan:
    return changed_plan(plan, read_plan_form(sent, plan, CLASSES))


plans = st.fixed_dictionaries(
    {
        "batch": st.none() | st.integers(1, 500),
        "control": st.sampled_from([0.0, 0.05, 0.1, 1.0]),
        "show_predictions": st.booleans(),
        "seed": st.integers(0, 99),
        "cold_start": st.none() | st.just({"labels_per_class": 3, "at_most": 9}),
        "advice": st.none() | st.just({"low_accuracy": 0.5}),
        "policy": st.fixed_dictionaries({"minutes": st.sampled_from([0.5, 20.0]), "paused": st.booleans()}),
        "scorers": st.sampled_from(
            [
                [{"name": "margin"}],
                [{"name": "random"}, {"name": "entropy", "weight": 2.5, "config": {"temperature": 3.0}}],
                [{"name": "dispersion", "config": {"last": 5}}],
            ]
        ),
        "selector": st.sampled_from(
            [
                {"name": "top"},
                {"name": "class_balanced", "config": {"target": {"cat": 0.7, "dog": 0.3}, "weight": 2}},
                {"name": "class_balanced", "config": {"target": "pool", "weight": "auto"}},
                {"name": "spaced", "config": {"distance": 5}},
            ]
        ),
        "learner": st.sampled_from(
            [{"name": "frozen"}, {"name": "frozen", "config": {"l2": 3.0}}, {"name": "small_network"}]
        ),
    }
)


@given(changes=plans)
@settings(max_examples=25)
def test_a_form_that_nobody_touched_says_the_plan_in_force(changes: dict[str, Any]) -> None:
    plan = changed_plan(Plan(), changes)
    for whole in (False, True):
        sent = filled(plan_form(plan, CLASSES, "classes", whole_videos=whole))
        assert ("videos.best" in sent) == whole
        assert said(plan, sent) == plan, "no new version, and no training"


BOXES = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
<Label value="Car"/><Label value="Person"/></RectangleLabels></View>"""
TRACKS = """<View><Labels name="kind" toName="video"><Label value="Car"/></Labels><Video name="video" value="$video"/>
<VideoRectangle name="box" toName="video"/></View>"""


@pytest.mark.parametrize(("config", "whole"), [(BOXES, False), (TRACKS, True)])
def test_projects_of_boxes_have_their_own_settings(
    client: TestClient, rooms: House, people: People, config: str, whole: bool
) -> None:
    number = add_project(rooms, label_config=config)
    with rooms.ledger.session() as session:
        save_plan(session, number, default_plan(read_question(config), whole), author="ada")
    people.log_in(client, "ada")
    url = f"/projects/{number}/plan"
    text = client.get(url, headers=HTML).text
    assert 'name="plan.shown_from"' in text
    assert ('name="videos.best"' in text) == whole
    assert 'name="scorer.temporal_coherence.on"' in text
    assert 'name="scorer.margin.on"' not in text, "it reads probabilities, which no detector gives"
    sent = browser_form(text)
    assert "Nothing differs from plan 1." in client.post(url, data=sent, headers=HTML).text
    saved = client.post(url, data={**sent, "plan.shown_from": "0.4"}, headers=HTML).text
    assert "shown_from: 0.25 -&gt; 0.4" in saved
    for page in ("queue", "learning", "balance"):
        assert client.get(f"/projects/{number}/{page}", headers=HTML).status_code == 200


def test_each_setting_reaches_the_plan() -> None:
    plan = Plan()
    sent = filled(plan_form(plan, CLASSES, "classes"))
    sent |= {
        "scorer.entropy.on": "on",
        "scorer.entropy.weight": "2.5",
        "scorer.entropy.config.temperature": "3",
        "selector": "class_balanced",
        "selector.class_balanced.target": "own",
        "selector.class_balanced.share.0": "80",
        "selector.class_balanced.share.1": "20",
        "selector.class_balanced.config.weight": "auto",
        "plan.batch": "40",
        "plan.control": "0.1",
        "policy.minutes": "20",
        "policy.paused": "on",
        "cold.labels_per_class": "6",
    }
    del sent["plan.show_predictions"], sent["scorer.margin.on"]
    wanted = said(plan, sent)
    assert [(one.name, one.weight, one.config) for one in wanted.scorers] == [("entropy", 2.5, {"temperature": 3.0})]
    assert (wanted.selector.name, wanted.selector.config) == ("class_balanced", {"target": {"cat": 0.8, "dog": 0.2}})
    assert (wanted.batch, wanted.control, wanted.show_predictions) == (40, 0.1, False)
    assert (wanted.policy.minutes, wanted.policy.paused) == (20.0, True)
    assert wanted.cold_start is not None
    assert (wanted.cold_start.labels_per_class, wanted.cold_start.selector) == (
        6,
        plan.cold_start and plan.cold_start.selector,
    )
    assert wanted.learner == plan.learner


class _Mixed(BaseModel):
    count: int = Field(3, ge=1, le=9, description="How many.")
    share: float | None = Field(None, gt=0, description="Of what.")
    on: bool = False
    shape: dict[str, int] = Field(default_factory=dict)


def test_fields_carry_help_bounds_and_kind_and_are_read_back() -> None:
    count, share, on, shape = fields_of(_Mixed, {"shape": {"a": 1}}, "x.")
    assert (count.kind, count.value, count.bounds, count.help) == ("integer", "3", "from 1 to 9", "How many.")
    assert (share.kind, share.value, share.optional, share.bounds) == ("number", "", True, "at least 0")
    assert (on.kind, on.value, shape.kind, shape.value) == ("switch", "", "yaml", "{a: 1}")
    form = {"x.count": " 4 ", "x.share": "", "x.on": "on", "x.on.there": "1", "x.shape": "{b: 2}"}
    assert read_fields(_Mixed, form, "x.") == {"count": 4, "share": None, "on": True, "shape": {"b": 2}}
    assert read_fields(_Mixed, {"x.count": ""}, "x.") == {}
    for wrong, words in (
        ({"x.count": "4.5"}, "a whole number"),
        ({"x.share": "much"}, "a number"),
        ({"x.shape": "{"}, "no YAML"),
    ):
        with pytest.raises(FormError, match=words):
            read_fields(_Mixed, wrong, "x.")


def browser_form(text: str) -> dict[str, str]:
    """The plan's form of a page as a browser would send it."""
    start = text.index('<form method="post" action="/projects/') if "data-plan" in text else 0
    part = next(piece for piece in text[start:].split("</form>") if "data-plan" in piece)
    part = part[part.index("data-plan") :]
    sent: dict[str, str] = {}
    for tag in re.findall(r"<input [^>]*>", part):
        attributes = {name: unescape(value) for name, value in re.findall(r'([\w.-]+)="([^"]*)"', tag)}
        if attributes.get("type") == "checkbox" and " checked" not in tag:
            continue
        sent[attributes["name"]] = attributes.get("value", "")
    for name, body in re.findall(r'<select id="[^"]*" name="([^"]+)"[^>]*>(.*?)</select>', part, re.DOTALL):
        options = re.findall(r'<option(?: value="([^"]*)")?( selected)?>([^<]*)', body)
        chosen = next((one for one in options if one[1]), options[0])
        sent[name] = unescape(chosen[0] or chosen[2])
    return sent


def test_an_empty_project_has_the_default_plan(client: TestClient, rooms: House, people: People) -> None:
    number = add_project(rooms)
    people.log_in(client, "bob")
    shown = client.get(f"/projects/{number}/plan", headers=HTML)
    assert shown.status_code == 200
    assert "the default is in force" in shown.text
    assert "You may look" in shown.text
    assert ">Save<" not in shown.text


def test_saving_what_the_page_shows_changes_nothing_and_one_change_is_one_version(
    client: TestClient, rooms: House, project: int, people: People
) -> None:
    people.log_in(client, "ada")
    url = f"/projects/{project}/plan"
    sent = browser_form(client.get(url, headers=HTML).text)
    assert "Nothing differs from plan 0." in client.post(url, data=sent, headers=HTML).text
    changed = {**sent, "plan.batch": "40", "note": "smaller batches"}
    saved = client.post(url, data=changed, headers=HTML).text
    assert "Plan 1 is in force; a ranking without a training is on its way." in saved
    assert "<li>batch: by default -&gt; 40</li>" in saved
    assert "smaller batches" in saved
    assert wishes(rooms, project) == {"rank": "plan 1"}
    stale = client.post(url, data=changed, headers=HTML)
    assert (stale.status_code, "Plan 1 was saved meanwhile" in stale.text) == (422, True)
    with rooms.ledger.session() as session:
        assert [(row.author, row.what) for row in session.query(Change)] == [("ada", "plan 1: smaller batches")]


def test_a_fault_is_a_sentence_and_what_was_typed_stays(
    client: TestClient, rooms: House, project: int, people: People
) -> None:
    people.log_in(client, "ada")
    url = f"/projects/{project}/plan"
    sent = browser_form(client.get(url, headers=HTML).text)
    for wrong, words in (
        ({"plan.batch": "0"}, "batch = 0"),
        ({"plan.batch": "many"}, "batch = &#39;many&#39; is no number"),
        ({"scorer.margin.weight": "-1"}, "scorers.0.weight = -1"),
        ({"selector": "nope"}, "Unknown selector"),
        ({"selector.top.x": "1", "learner.frozen.config.l2": "x"}, "is no number"),
    ):
        answer = client.post(url, data={**sent, **wrong, "note": "kept text"}, headers=HTML)
        assert answer.status_code == 422
        assert words in answer.text
        assert 'value="kept text"' in answer.text
    assert 'value="many"' in client.post(url, data={**sent, "plan.batch": "many"}, headers=HTML).text
    del sent["scorer.margin.on"]
    assert "scorers" in client.post(url, data=sent, headers=HTML).text
    assert wishes(rooms, project) == {}


def test_versions_are_compared_restored_and_downloaded(client: TestClient, project: int, people: People) -> None:
    csrf = people.log_in(client, "ada")
    url = f"/projects/{project}/plan"
    for batch in range(10, 23):
        client.patch(f"/api{url}", json={"changes": {"batch": batch}}, headers={"X-CSRF-Token": csrf})
    text = client.get(f"{url}?old=1", headers=HTML).text
    assert "From plan 1 to plan 13" in text
    assert "<li>batch: 10 -&gt; 22</li>" in text
    assert "<li>batch: 12 -&gt; 13</li>" in text, "each version says what it changed, the last on the page too"
    assert "batch: 11 -&gt; 12" not in text, "which stands on the next page"
    assert "batch: 11 -&gt; 12" in client.get(f"{url}?offset=10", headers=HTML).text
    assert "Plan 99 does not exist" in client.get(f"{url}?old=99", headers=HTML).text
    back = client.post(f"{url}/restore", data={"number": "1", "csrf": csrf}, headers=HTML).text
    assert "Plan 14 is in force" in back
    assert (
        "Plan 99 does not exist"
        in client.post(f"{url}/restore", data={"number": "99", "csrf": csrf}, headers=HTML).text
    )
    assert client.post(f"{url}/restore", data={"number": "x", "csrf": csrf}).status_code == 422
    file = client.get(f"{url}/file?number=3")
    assert yaml.safe_load(file.text)["batch"] == 12
    assert "attachment" in file.headers["content-disposition"]
    assert client.get(f"{url}/file?number=99").status_code == 404


def test_a_preview_is_shown_when_a_worker_has_made_it(
    client: TestClient, rooms: House, project: int, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.log_in(client, "ada")
    url = f"/projects/{project}/plan"
    sent = browser_form(client.get(url, headers=HTML).text)
    waits = client.post(f"{url}/preview", data={**sent, "plan.seed": "7"}, headers={"HX-Request": "true"}).text
    assert "Waiting for a worker" in waits
    again = re.search(r'hx-get="([^"]+)"', waits)
    assert again is not None
    assert 'data-status="waiting"' in client.get(again.group(1)).text
    monkeypatch.setattr(preview_job, "house", lambda: rooms)
    SimpleWorker([rooms.queue], connection=rooms.redis).work(burst=True, logging_level="WARNING")
    seen = client.get(again.group(1)).text
    assert "of the next 12 tasks would change" in seen
    assert "<li>seed: 0 -&gt; 7</li>" in seen
    assert "hx-trigger" not in seen
    wrong = client.post(f"{url}/preview", data={**sent, "plan.batch": "0"}, headers={"HX-Request": "true"}).text
    assert "batch = 0" in wrong
    assert wishes(rooms, project) == {}


def test_a_viewer_changes_nothing(client: TestClient, project: int, people: People) -> None:
    csrf = people.log_in(client, "bob")
    url = f"/projects/{project}/plan"
    for path in ("", "/restore", "/preview"):
        assert client.post(f"{url}{path}", data={"csrf": csrf, "number": "1", "base": "0"}).status_code == 403
