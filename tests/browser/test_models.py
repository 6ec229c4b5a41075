"""Somebody's own model, from a file on their disk to a finished round: real browser, real programs."""

import zipfile
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.alignment.conftest import tiny_policy
from tests.browser.test_rounds import PASSWORD, PATIENCE, TINY, fill, sign_in, violations
from tests.factories import a_completion, a_project, a_user, some_prompts
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.datasets.services import freeze_snapshot
from webapp.rounds.models import Round

pytestmark = [pytest.mark.browser, pytest.mark.stack, pytest.mark.timeout(420)]


@pytest.fixture
def lab(transactional_db):
    """A project with ranked answers, frozen, and prompts held out for the test."""
    lab = a_project(name="Lab")
    splits = {"train": 20, "validation": 8, "test": 8}
    for split, number in splits.items():
        for place, prompt in enumerate(some_prompts(lab, number, split=split)):
            for rank, text in enumerate((f"good day {'a ' * place}", "bad night")):
                a_completion(prompt, text, rank=rank)
    freeze_snapshot(lab)
    return lab


@pytest.fixture
def page(stack, trainers, lab, browser_page):
    """An admin's browser, signed in."""
    stack.forked_trainers(trainers).broker().worker().tend().web()
    a_user(lab, Role.ADMIN, username="ada", password=PASSWORD)
    return sign_in(browser_page, stack.url, "ada")


@pytest.fixture
def archive(tmp_path):
    """A zip of a tiny model's folder."""
    (tmp_path / "mine").mkdir()
    tiny_policy().save(tmp_path / "mine")
    return zipped(tmp_path / "mine")


def zipped(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as bundle:
        for path in folder.iterdir():
            bundle.write(path, f"{folder.name}/{path.name}")
    return archive


def upload(page, stack, lab, archive):
    """Add the archive by its form, and see its run."""
    page.goto(stack.url + reverse("registry:models", args=[lab.pk]))
    page.get_by_role("link", name="Add a model").click()
    page.get_by_role("link", name="Upload").click()
    page.get_by_label("Files").set_input_files(archive)
    page.get_by_label("Name", exact=True).fill("Mine")
    assert violations(page) == []
    page.get_by_role("button", name="Add the model").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mine")


@pytest.mark.prove
def test_an_uploaded_model_goes_through_a_whole_round(stack, lab, page, archive):
    upload(page, stack, lab, archive)
    expect(page.get_by_text("GPT2LMHeadModel")).to_be_visible(timeout=PATIENCE)
    model = Artifact.objects.get(type="model")
    page.goto(stack.url + reverse("registry:model", args=[lab.pk, model.pk]))
    expect(page.get_by_text("To align it")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="Start a round").click()
    fill(page, TINY)
    page.get_by_role("button", name="Start the round").click()
    expect(page.get_by_role("heading", name="Numbers")).to_be_visible(timeout=PATIENCE)
    made = Round.objects.get()
    stack.until(lambda: not made.runs.exclude(state="succeeded").exists())
    roles = model.uses.values_list("role", flat=True)
    assert {"policy", "reference", "backbone"} <= set(roles)


@pytest.mark.slow
def test_a_model_that_brings_code_is_refused_on_its_page(stack, lab, page, archive):
    folder = archive.with_suffix("")
    (folder / "modeling_mine.py").write_text("import os")
    upload(page, stack, lab, zipped(folder))
    refusal = page.get_by_role("region", name="State").get_by_text("modeling_mine.py is code")
    expect(refusal).to_be_visible(timeout=PATIENCE)
    assert not Artifact.objects.filter(type="model").exists()
