"""A round as a researcher starts and watches it: real browser, real programs, a tiny real model."""

from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from alignment.seam.modelfiles import FORM, read_object
from tests.factories import a_project, a_ranking, a_run, a_user, again, some_prompts
from webapp.datasets.services import freeze_snapshot
from webapp.labeling.models import Task
from webapp.rounds.models import Round

pytestmark = [pytest.mark.browser, pytest.mark.stack, pytest.mark.timeout(420)]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "long-enough-to-type"  # of a test
PATIENCE = 240_000  # ms; five trainers start one after another on a shared machine
STARTER = {"documents": 100, "layers": 1, "width": 16, "heads": 2, "vocabulary": 400, "steps": 3}
TINY = {
    "reward-epochs": 1, "align-steps": 2, "align-prompts_per_step": 2,
    "align-completions_per_prompt": 2, "align-prompts": 4, "align-max_new_tokens": 8,
    "align-warmup": 1, "align-reference_completions": 2, "align-sample_every": 1,
    "align-sample_prompts": 2, "evaluate-prompts": 8, "evaluate-completions_per_prompt": 2,
    "evaluate-max_new_tokens": 8, "generate-prompts": 4, "generate-max_new_tokens": 8,
}  # fmt: skip


@pytest.fixture
def machine(stack, trainers):
    return stack.forked_trainers(trainers).broker().worker().tend().web()


@pytest.fixture
def lab(transactional_db):
    """A project with ranked answers, frozen, and prompts held out for the test."""
    lab = a_project(name="Lab")
    ranked = some_prompts(lab, 20, split="train") + some_prompts(lab, 8, split="validation")
    for prompt in ranked:
        a_ranking(prompt, 0, 1)
    some_prompts(lab, 8, split="test")
    return lab


def sign_in(page, url, username):
    """Type name and password at the real web program, and wait to be let in."""
    page.goto(f"{url}/accounts/login/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda address: "login" not in address)
    return page


@pytest.fixture
def signed_in(machine, lab, browser_page):
    a_user(lab, username="rita", password=PASSWORD)
    return sign_in(browser_page, machine.url, "rita")


def violations(page):
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found]


def is_over(run):
    return lambda: again(run).is_final


def fill(page, values):
    """Unfold every topic, then type the values as a person would."""
    for fold in page.locator("form.launch details").all():
        fold.evaluate("fold => { fold.open = true; }")
    for name, value in values.items():
        page.locator(f"[name={name}]").fill(str(value))


@pytest.mark.slow
def test_a_researcher_launches_a_round_and_watches_it_to_its_results(machine, lab, signed_in):
    starter = a_run(lab, "pretrain", STARTER, name="Starter")
    machine.until(is_over(starter))
    freeze_snapshot(lab)
    page = signed_in
    page.goto(machine.url + reverse("rounds:list", args=[lab.pk]))
    page.get_by_role("link", name="Start a round").click()
    page.get_by_role("link", name="Quick").click()
    page.wait_for_url("**preset=quick**")  # the form before it looks the same
    fill(page, TINY)
    expect(page.locator("#outlook")).to_contain_text("in 2 steps of 4 completions")
    page.get_by_role("button", name="Start the round").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Round 1")
    expect(page.get_by_role("heading", name="Numbers")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("held-out prompts judged by a second reward model")).to_be_visible()
    made = Round.objects.get()
    machine.until(lambda: not made.runs.exclude(state="succeeded").exists())
    expect(page.locator("#live[hx-trigger]")).to_have_count(0, timeout=PATIENCE)
    assert Task.objects.filter(project=lab).exists()
    assert violations(page) == []
    page.get_by_role("link", name="Alignment", exact=True).click()
    expect(page.locator("figure[data-key='loss'] canvas")).to_be_visible()
    expect(page.get_by_role("heading", name="Samples")).to_be_visible()
    assert violations(page) == []


WAYS = {"distil": {"smaller-layers": 1, "smaller-steps": 2}, "quantise": {}}


@pytest.fixture(params=WAYS)
def smaller_round(request, machine, lab, signed_in):
    """A round whose start is made smaller before it is aligned, launched from its form: the way, and its page."""
    starter = a_run(lab, "pretrain", STARTER | {"layers": 2}, name="Starter")
    machine.until(is_over(starter))
    freeze_snapshot(lab)
    page = signed_in
    page.goto(machine.url + reverse("rounds:launch", args=[lab.pk]) + "?preset=quick")
    fill(page, TINY)
    page.get_by_label("The start model is aligned").select_option(request.param)
    expect(page.locator("[name=smaller-share]")).to_be_hidden()
    fill(page, WAYS[request.param] | {"align-kl_budget": 1000})
    page.get_by_label("Judge", exact=True).select_option("none")
    expect(page.locator("#outlook")).to_contain_text(f"is made smaller: {request.param}")
    assert violations(page) == []
    page.get_by_role("button", name="Start the round").click()
    expect(page.get_by_role("link", name="Smaller model", exact=True)).to_be_visible()
    return request.param, page


@pytest.mark.prove
def test_a_round_makes_its_start_smaller_heals_it_and_evaluates_it_as_it_is_served(
    machine, lab, smaller_round
):
    """Compress, heal, evaluate: one round, then the page of all smaller models of the start."""
    way, page = smaller_round
    expect(page.get_by_role("heading", name="Numbers")).to_be_visible(timeout=PATIENCE)
    made = Round.objects.get()
    machine.until(lambda: not made.runs.exclude(state="succeeded").exists())
    expect(page.locator("#live[hx-trigger]")).to_have_count(0, timeout=PATIENCE)
    runs = {part.part: part.run for part in made.parts.all()}
    served = runs["align" if way == "distil" else "serve"].outputs.get()
    assert runs["evaluate"].inputs.get(role="policy").artifact == served
    form = read_object(served.path / FORM) if way == "quantise" else None
    assert form is None or form["form"] == "int8"
    page.goto(f"{machine.url}{reverse('runs:detail', args=[lab.pk, runs['shrink'].pk])}")
    expect(page.get_by_text("of the bytes on disk")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="All smaller models of it, compared").click()
    expect(page.locator("svg.smaller circle")).to_have_count(1)
    expect(page.get_by_text("Aligned after that, by an evaluation")).to_be_visible()
    page.get_by_role("link", name="Time of a forward").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="KL from the original against time")).to_be_visible()
    assert violations(page) == []
