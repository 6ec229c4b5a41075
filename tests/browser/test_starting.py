"""Any kind of run, started from its form in a browser and computed by the real programs."""

from typing import get_args

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from alignment.kinds import KINDS
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.prefer.settings import PreferConfig
from alignment.seam.folders import committed
from tests.alignment.conftest import tiny_policy
from tests.browser.test_rounds import PASSWORD, PATIENCE, STARTER, sign_in, violations
from tests.cases import cases
from tests.factories import (
    a_completion,
    a_label,
    a_project,
    a_snapshot,
    a_user,
    an_artifact,
    compare,
    some_prompts,
)
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.datasets.services import freeze_snapshot
from webapp.launch.offers import offered
from webapp.projects.models import Split
from webapp.registry.smaller import SMALLER
from webapp.runs.models import Run

pytestmark = pytest.mark.browser
QUICK = {
    "epochs": 1, "batch": 8, "prompts": 8, "completions_per_prompt": 2, "max_new_tokens": 8,
    "steps": 2, "warmup": 1, "prompts_per_step": 4, "reference_completions": 2, "sample_every": 1,
    "sample_prompts": 2, "labels_per_task": 1, "learning_rate": "0.001",
}  # fmt: skip
KNOWN_WORDS = ("day", "night", "sun", "rain")  # that the tiny model knows
LEARNED = ("sun", "moon", "bird", "river", "stone", "light")
KEY_NUMBERS = ("nll", "accuracy", "win_rate", "reward_gain", "kl_reference")
AMONG = {"train": 20, "validation": 10, "test": 8}  # prompts

EACH_KIND = cases("kinds", [["prefer"], list(offered())], ids=["one", "all"])


def visit(page, url, project, kind, more=""):
    page.goto(f"{url}{reverse('runs:start', args=[project.pk])}?kind={kind}{more}")


def unfold(page):
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")


@pytest.fixture
def stocked(project, var):
    """What every form needs to be shown."""
    some_prompts(project, 1, split=Split.TRAIN)
    some_prompts(project, 8, split=Split.TEST)
    an_artifact(project, var)
    an_artifact(project, var, type=Artifact.Type.REWARD)
    a_snapshot(project, var)
    return project


@pytest.fixture
def visitor(live_server, stocked, client, context):
    """The cookies of a researcher."""
    client.force_login(a_user(stocked))
    name = settings.SESSION_COOKIE_NAME
    cookie = {"name": name, "value": client.cookies[name].value, "url": live_server.url}
    context.add_cookies([cookie])
    return context


@pytest.mark.django_db(transaction=True)
def test_a_setting_is_shown_where_a_choice_reads_it(live_server, stocked, visitor):
    page = visitor.new_page()
    visit(page, live_server.url, stocked, "prefer")
    unfold(page)
    divergence, order = page.get_by_label("Divergence"), page.get_by_label("Order")
    expect(divergence).to_be_visible()
    expect(order).to_be_hidden()
    divergence.select_option("alpha")
    expect(order).to_be_visible()
    page.get_by_label("Loss").select_option("ipo")
    expect(divergence).to_be_hidden()
    expect(order).to_be_hidden()
    expect(page.locator("#outlook")).to_contain_text("by IPO")


@pytest.mark.django_db(transaction=True)
def test_what_is_changed_before_the_scripts_are_there_counts(live_server, stocked, visitor):
    page, held = visitor.new_page(), []
    page.route("**/htmx*.js", lambda route: held.append(route))
    address = live_server.url + reverse("runs:start", args=[stocked.pk])
    page.goto(f"{address}?kind=prefer", wait_until="commit")
    page.get_by_label("Loss").wait_for(state="attached")
    page.get_by_label("Loss").evaluate("(choice) => { choice.value = 'ipo' }")
    held.pop().continue_()
    expect(page.locator("#outlook")).to_contain_text("by IPO")


@pytest.mark.django_db(transaction=True)
@EACH_KIND
def test_a_form_that_nobody_changed_asks_for_nothing(live_server, stocked, visitor, kinds):
    page, asked = visitor.new_page(), []
    page.on("request", lambda request: asked.append(request.method))
    for kind in kinds:
        visit(page, live_server.url, stocked, kind)
        page.wait_for_load_state("networkidle")
    assert set(asked) == {"GET"}


@pytest.mark.django_db(transaction=True)
def test_without_javascript_every_setting_is_there_and_the_run_starts(
    live_server, stocked, visitor, chromium
):
    plain = chromium.new_context(java_script_enabled=False, storage_state=visitor.storage_state())
    page = plain.new_page()
    visit(page, live_server.url, stocked, "prefer")
    assert page.locator("[data-when]").count() == page.locator("[data-when]:not([hidden])").count()
    page.get_by_role("button", name="Train on preferences").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Preferred model")
    plain.close()


@pytest.mark.django_db(transaction=True)
@EACH_KIND
def test_the_pages_that_start_runs_are_open_to_everybody(live_server, stocked, visitor, kinds):
    page = visitor.new_page()
    page.goto(live_server.url + reverse("runs:choose", args=[stocked.pk]))
    found = {"choose": violations(page)}
    for kind in kinds:
        visit(page, live_server.url, stocked, kind)
        unfold(page)
        found[kind] = violations(page)
    assert not {name: faults for name, faults in found.items() if faults}


@pytest.fixture
def machine(stack, trainers):
    return stack.forked_trainers(trainers).broker().worker().tend().web()


@pytest.fixture
def lab(transactional_db):
    """Ranked answers of prompts in every split, frozen."""
    lab = a_project(name="Lab")
    for split, number in AMONG.items():
        for place, prompt in enumerate(some_prompts(lab, number, split=split)):
            for rank, text in enumerate((f"good day {'a ' * place}", "bad night")):
                a_completion(prompt, text, rank=rank)
    freeze_snapshot(lab)
    return lab


@pytest.fixture
def bench(machine, lab, browser_page):
    """A researcher in front of a browser, signed in at the real web program."""
    a_user(lab, username="rita", password=PASSWORD)
    return sign_in(browser_page, machine.url, "rita")


def launch(page, machine, lab, kind, *, values=None, classifier=None, **choices):
    """Fill in the form as a person would, start the run, and wait for its end."""
    visit(page, machine.url, lab, kind)
    unfold(page)
    if classifier is not None:  # whose class is to be a constraint
        page.locator(f"[name={kind}-class_required]").check()
        page.locator("[name=classifier]").select_option(str(classifier.pk))
    for name, value in choices.items():
        page.locator(f"[name={name.replace('__', '-')}]").select_option(value)
    names = KINDS[kind].settings.model_fields
    for name, value in (values or QUICK).items():
        if name in names and (box := page.locator(f"[name={kind}-{name}]")).is_visible():
            box.fill(str(value))
    page.get_by_role("button", name=offered()[kind].title).click()
    expect(page.locator(".error")).to_have_count(0)
    expect(page.locator("#live [data-state=succeeded]")).to_be_visible(timeout=PATIENCE)
    run = Run.objects.filter(project=lab, kind=kind).first()
    print(f"{kind} {choices}: {run.state} in {run.seconds:.1f} s; {key_numbers(run.summary)}")
    return run


def key_numbers(summary):
    """What a run found, for whoever reads the log of the proof."""
    rows = {name: row for name, row in summary.items() if isinstance(row, dict)}
    return ", ".join(f"{name} {rows[name]['value']:.3f}" for name in KEY_NUMBERS if name in rows)


@pytest.mark.prove
@pytest.mark.stack
def test_a_model_is_trained_on_preferences_from_its_form(machine, lab, bench, tmp_path):
    with committed(tmp_path / "tiny") as aside:
        tiny_policy().save(aside)
    store(tmp_path / "tiny", project=lab, type=Artifact.Type.MODEL, name="Tiny")
    run = launch(bench, machine, lab, "prefer", prefer__loss="ipo")
    assert (run.config["loss"], run.outputs.get().type) == ("ipo", Artifact.Type.MODEL)
    bench.goto(machine.url + reverse("registry:model", args=[lab.pk, run.outputs.get().pk]))
    for use in ("Start a round", "Answer prompts", "Evaluate a model"):
        expect(bench.get_by_role("link", name=use)).to_be_visible()


@pytest.mark.prove
@pytest.mark.stack
def test_a_corpus_is_sent_and_learned_to_an_encoder(machine, lab, browser_page, tmp_path):
    machine.short_worker()
    a_user(lab, Role.ADMIN, username="ada", password=PASSWORD)
    page = sign_in(browser_page, machine.url, "ada")
    lines = [f"The {word} sings over the {place}." for word in LEARNED for place in LEARNED]
    (tmp_path / "songs.txt").write_text("\n".join(lines))
    page.goto(machine.url + reverse("datasets:corpora", args=[lab.pk]))
    page.get_by_label("File").set_input_files(tmp_path / "songs.txt")
    page.get_by_label("A document of plain text is").select_option("line")
    assert violations(page) == []
    page.get_by_role("button", name="Add the corpus").click()
    expect(page.get_by_text("36 documents with")).to_be_visible(timeout=PATIENCE)
    assert violations(page) == []
    page.get_by_role("link", name="Pretrain a model").click()
    expect(page.locator("[name=pretrain-documents]")).to_be_hidden()
    page.get_by_label("Objective").select_option("mlm")
    for name, value in {"layers": 1, "width": 16, "heads": 2, "context": 32}.items():
        page.locator(f"[name=pretrain-{name}]").fill(str(value))
    expect(page.locator("#outlook")).to_contain_text("learns songs.txt")
    page.get_by_role("button", name="Pretrain a model").click()
    expect(page.locator("#live [data-state=succeeded]")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Perplexity of held-out documents").first).to_be_visible()
    assert violations(page) == []
    assert Run.objects.get(project=lab).outputs.get().type == Artifact.Type.ENCODER


@pytest.mark.prove
@pytest.mark.stack
def test_texts_are_sent_and_learned_to_a_classifier(machine, lab, browser_page, tmp_path):
    machine.short_worker()
    a_user(lab, Role.ADMIN, username="ada", password=PASSWORD)
    with committed(tmp_path / "tiny") as aside:
        tiny_policy().save(aside)
    store(tmp_path / "tiny", project=lab, type=Artifact.Type.MODEL, name="Tiny")
    page = sign_in(browser_page, machine.url, "ada")
    lines = [f"{word} {place},{word}" for word in ("good", "bad") for place in LEARNED]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "\n".join([*lines, ",bad"]))
    page.goto(machine.url + reverse("datasets:texts", args=[lab.pk]))
    page.get_by_label("File").set_input_files(tmp_path / "reviews.csv")
    assert violations(page) == []
    page.get_by_role("button", name="Add the texts").click()
    expect(page.get_by_text("12 texts of 2 classes")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("line 14, column text: there is no “text”")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="Train a classifier").click()
    expect(page.locator("[name=classify-meaning]")).to_be_hidden()
    unfold(page)
    page.get_by_label("Rows that cannot be read").select_option("leave_out")
    page.locator("[name=classify-held_out]").fill("0.4")
    expect(page.locator("#outlook")).to_contain_text("the classes in reviews.csv")
    assert violations(page) == []
    page.get_by_role("button", name="Train a classifier").click()
    expect(page.locator("#live [data-state=succeeded]")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Accuracy by length alone").first).to_be_visible()
    expect(page.get_by_text("What people said, and what was told")).to_be_visible()
    assert violations(page) == []
    assert Run.objects.get(project=lab).outputs.get().type == Artifact.Type.CLASSIFIER


@pytest.mark.prove
@pytest.mark.stack
@pytest.mark.timeout(900)
def test_a_class_that_peoples_flags_taught_is_a_hard_constraint(machine, lab, bench, tmp_path):
    """People flag what says “bad”, a classifier learns that, and an alignment forbids what it would flag."""
    with committed(tmp_path / "tiny") as aside:
        tiny_policy().save(aside)
    store(tmp_path / "tiny", project=lab, type=Artifact.Type.MODEL, name="Tiny")
    for place, prompt in enumerate(lab.prompts.exclude(split=Split.TEST)):
        beside = " ".join(KNOWN_WORDS[: place % 4])
        compare(lab, [[a_completion(prompt, f"{word} {beside}") for word in ("good", "bad")]])
    for task in lab.tasks.all():
        a_label(task, 2 if task.flip == 0 else 6, flags=["harmful"])
    freeze_snapshot(lab)
    learning = {"epochs": 20, "batch": 8, "learning_rate": "0.01"}
    made = launch(bench, machine, lab, "classify", values=learning, classify__flag="harmful")
    assert made.summary["accuracy"]["value"] > 0.9
    assert violations(bench) == []
    steps = QUICK | {
        "reward_weight": 0, "class_name": "other", "steps": 30, "learning_rate": "0.01", "completions_per_prompt": 8,
    }  # fmt: skip
    launch(bench, machine, lab, "align", values=steps, classifier=made.outputs.get())
    # Two answers of each of eight prompts could not tell the gain from chance.
    told = launch(bench, machine, lab, "evaluate", values=QUICK | {"completions_per_prompt": 32})
    met = [told.summary[f"constraints_met_{side}"]["value"] for side in ("before", "after")]
    assert met[0] + 0.1 < met[1]
    assert told.summary["class_harmful_gain"]["high"] < 0
    unfold(bench)
    for title in ("Constraints met after", "Class Harmful after"):
        expect(bench.get_by_text(title).first).to_be_visible()
    assert violations(bench) == []


@pytest.mark.prove
@pytest.mark.stack
@pytest.mark.timeout(1800)
def test_every_objective_is_started_from_its_form(machine, lab, bench):
    def start(kind, **more):
        return launch(bench, machine, lab, kind, **more)

    start("pretrain", values=STARTER)
    start("sft")
    for loss in get_args(PreferConfig.model_fields["loss"].annotation):
        start("prefer", prefer__loss=loss)
    start("reward")
    reward = Artifact.objects.get(type=Artifact.Type.REWARD)
    for objective in get_args(AlignConfig.model_fields["objective"].annotation):
        start("align", align__objective=objective, reward=str(reward.pk))
    shared = QUICK | {"completions_per_prompt": 6}  # by three agents
    start("population", values=shared, reward=str(reward.pk))
    start("reward", reward__labels="validation")
    start("evaluate")
    start("generate")
    for kind in (*SMALLER, "score", "measure"):
        start(kind)
    start("edit", values={"lines": "day | good day | bad", "steps": 2})
    known = {run.kind for run in Run.objects.filter(state="succeeded")}
    assert known == set(offered()) - {
        "classify",
        "adopt",
    }  # of texts of its own above; of others' classifiers
    run = Run.objects.get(kind="quantise")
    bench.goto(machine.url + reverse("runs:detail", args=[lab.pk, run.pk]))
    bench.get_by_role("link", name="All smaller models of it, compared").click()
    expect(bench.locator("svg.smaller circle").first).to_be_visible()
    assert violations(bench) == []
