"""A toy kind of run in a real browser: offered, asked for, computed by a real worker, its results shown."""

import json

import pytest
from django.urls import reverse
from playwright.sync_api import expect
from safetensors import safe_open

from alignment.kinds import KINDS
from alignment.kinds.kind import Kind, KindError
from alignment.seam.folders import committed
from alignment.seam.records import CompletionRecord, write_jsonl
from tests.factories import a_project, a_user, some_prompts
from tests.tiny import stored_models
from tests.toys.runs.gauge import FIELDS, KIND
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.operations.stack import worker_command
from webapp.projects.models import Split
from webapp.runs.models import Run

pytestmark = [pytest.mark.django_db(transaction=True)]
PASSWORD = "a long enough password"
ANSWERS = ("good day", "bad night", "thank you")


@pytest.fixture
def machine(stack):
    stack.settings = "tests.toys.settings"
    return stack.broker().start("worker-live", *worker_command("live")).tend().web()


@pytest.fixture
def lab(transactional_db, tmp_path, monkeypatch):
    """A reward model, and stored answers to score."""
    monkeypatch.setitem(KINDS, KIND.name, KIND)
    lab = a_project(name="Lab")
    prompts = some_prompts(lab, 3, split=Split.TRAIN)
    stored_models(lab, tmp_path)
    rows = [
        CompletionRecord(prompt_key=prompt.key, text=text, tokens=2, truncated=False, logps=None)
        for prompt in prompts
        for text in ANSWERS
    ]
    with committed(tmp_path / "answers") as aside:
        write_jsonl(aside / "completions.jsonl", rows)
    store(tmp_path / "answers", project=lab, type=Artifact.Type.COMPLETIONS, name="Answers")
    return lab


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.stack
def test_its_form_opens_its_run_runs_and_its_results_show(machine, lab, context, browser_page):
    a_user(lab, username="rita", password=PASSWORD)
    page = browser_page
    page.goto(machine.url)
    page.get_by_label("Username").fill("rita")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.goto(machine.url + reverse("runs:choose", args=[lab.pk]))
    expect(page.get_by_text("A reward model reads what is there.")).to_be_visible()
    page.get_by_role("link", name="Gauge answers").click()
    expect(page.get_by_text("Gauges the answers in Answers by reward, 2 at once.")).to_be_visible()
    page.get_by_label("Batch").fill("4")
    page.keyboard.press("Tab")
    expect(page.get_by_text("4 at once")).to_be_visible()
    page.get_by_role("button", name="Gauge answers").click()
    expect(page.locator("#live [data-state=succeeded]")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Answers scored")).to_be_visible()
    expect(page.get_by_text("Mean score", exact=True).first).to_be_visible()
    expect(page.get_by_text("Scores and features").first).to_be_visible()
    curve = page.locator("figure[data-key='score/mean']")
    expect(curve.locator("canvas")).to_be_visible()
    expect(curve.locator("details tbody tr")).to_have_count(3)
    run = Run.objects.get(kind="gauge")
    assert (run.queue, run.summary["answers"]) == ("live", 9)
    made = run.outputs.get()
    assert made.type == Artifact.Type.SCORES
    lines = (made.path / "scores.jsonl").read_text().splitlines()
    scores = [json.loads(line)["score"] for line in lines]
    assert sum(scores) / 9 == pytest.approx(run.summary["score"]["value"], abs=1e-6)
    with safe_open(made.path / "features.safetensors", "pt") as features:
        assert features.get_tensor("features").shape[0] == 9


@pytest.mark.parametrize(
    "field", [name for name in FIELDS if Kind.model_fields[name].is_required()]
)
def test_a_kind_that_lacks_a_field_is_refused_by_its_name(field):
    lacking = {name: value for name, value in FIELDS.items() if name != field}
    named = "without a name" if field == "name" else "gauge"
    with pytest.raises(KindError, match=f"“{named}” is not described: {field}: Field required"):
        Kind(**lacking)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("settings", dict), ("results", int), ("group", "Elsewhere"), ("inputs", ("reward",))],
)
def test_a_field_of_another_kind_is_refused_by_its_name(field, wrong):
    with pytest.raises(KindError, match=f"“gauge” is not described: {field}"):
        Kind(**FIELDS | {field: wrong})
