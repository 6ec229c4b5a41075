"""Files in and out as an admin moves them: a real browser, a real short worker, real readers."""

import json
import re
import zipfile
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.factories import a_label, a_project, a_user, some_labels, some_tasks
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.labeling.kinds.compare import Choice

pytestmark = [pytest.mark.browser, pytest.mark.stack, pytest.mark.timeout(240)]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "long-enough-to-type"  # of a test
PATIENCE = 60_000  # ms


@pytest.fixture
def lab(transactional_db):
    return a_project(name="Lab")


@pytest.fixture
def machine(shared):
    return shared.only("broker", "worker-short", "web")


@pytest.fixture
def page(machine, lab, browser_page):
    """An admin's browser, signed in."""
    a_user(lab, Role.ADMIN, username="ada", password=PASSWORD)
    browser_page.goto(f"{machine.url}/accounts/login/")
    browser_page.get_by_label("Username").fill("ada")
    browser_page.get_by_label("Password").fill(PASSWORD)
    browser_page.get_by_role("button", name="Sign in").click()
    browser_page.wait_for_url(lambda url: "login" not in url)
    return browser_page


def violations(page):
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found]


def exported(page, title, into):
    """Export as an admin does, fetch the file and unpack it; its folder."""
    page.get_by_role("link", name="Data", exact=True).click()
    page.get_by_role("link", name="Export").click()
    page.get_by_label(title, exact=True).check()
    assert violations(page) == []
    page.get_by_role("button", name="Export", exact=True).click()
    link = page.get_by_role("link", name="Download")
    expect(link).to_be_visible(timeout=PATIENCE)
    assert violations(page) == []
    with page.expect_download() as download:
        link.click()
    zipfile.ZipFile(download.value.path()).extractall(into)
    return into / Path(download.value.suggested_filename).stem


@pytest.mark.slow
def test_an_export_is_chosen_by_what_it_leaves_out_and_fetched(page, machine, lab, tmp_path):
    some_labels(some_tasks(lab, 3))
    freeze_snapshot(lab)
    a_label(some_tasks(lab)[0], Choice.TIE)
    freeze_snapshot(lab)
    page.goto(machine.url + reverse("datasets:export", args=[lab.pk]))
    expect(page.get_by_text("Tie: 1")).to_be_visible()
    page.get_by_label("All labels with everything").check()
    expect(page.get_by_text("Tie: 1")).to_be_hidden()
    expect(page.get_by_text("It keeps all of it")).to_be_visible()
    page.get_by_label("Pairs as CSV").check()
    expect(page.get_by_text("Tie: 1")).to_be_visible()
    page.get_by_label("Snapshot", exact=True).select_option(label="Snapshot 1")
    expect(page.get_by_text("What Snapshot 1 holds and “Pairs as CSV” does not")).to_be_visible()
    expect(page.get_by_text("Tie: 1")).to_be_hidden()
    folder = exported(page, "LLaMA-Factory preference, ShareGPT", tmp_path)
    described = json.loads((folder / "dataset_info.json").read_text())
    lines = [line for one in described.values() for line in (folder / one["file_name"]).open()]
    assert len(lines) == 3


@pytest.mark.slow
def test_a_file_is_mended_looked_at_and_taken_in(page, machine, lab, tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('"Why is the sky blue?"\n{\n')
    page.goto(machine.url + reverse("datasets:import", args=[lab.pk]))
    assert violations(page) == []
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Look at the file").click()
    expect(page.get_by_text("line 2: not JSON")).to_be_visible(timeout=PATIENCE)
    assert violations(page) == []
    file.write_text('"Why is the sky blue?"\n"How do magnets work?"\n')
    page.get_by_role("link", name="Choose a file again").click()
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Look at the file").click()
    expect(page.get_by_text("How do magnets work?")).to_be_visible(timeout=PATIENCE)
    assert violations(page) == []
    assert not lab.prompts.exists()
    page.get_by_role("button", name="Import 2 rows").click()
    expect(page.get_by_text("2 prompts and 0 answers are new")).to_be_visible(timeout=PATIENCE)
    assert lab.prompts.count() == 2


@pytest.mark.slow
def test_a_teams_own_answers_are_labelled_and_bad_rows_left_out(page, machine, lab, tmp_path):
    file = tmp_path / "answers.csv"
    rows = [f"Why {number}?,First {number}.,Second {number}.,us" for number in range(12)]
    file.write_text("\n".join(["prompt,answer_a,answer_b,team", *rows, "Cut short,One."]))
    page.goto(machine.url + reverse("datasets:import", args=[lab.pk]))
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Look at the file").click()
    expect(page.get_by_text("row 14: 2 cells")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("listitem").filter(has_text="team")).to_be_visible()
    assert violations(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="The whole list").click()
    assert Path(download.value.path()).read_text().startswith("row 14: 2 cells")
    become = page.get_by_label("What the rows become")
    become.select_option(label="Prompts only")
    expect(page.get_by_label("Labels per task")).to_be_hidden()
    become.select_option(label="Prompts and answers, and tasks to label them")
    page.get_by_label("Labels per task").fill("2")
    page.get_by_role("button", name="Leave 1 bad row out").click()
    expect(page.get_by_text("12 prompts and 24 answers are new")).to_be_visible(timeout=PATIENCE)
    assert violations(page) == []
    page.get_by_role("link", name="Label them").click()
    expect(page.get_by_text(re.compile(r"^First \d+\.$")).first).to_be_visible()
    assert set(lab.tasks.values_list("need", flat=True)) == {2}


@pytest.mark.slow
def test_a_job_outlives_its_worker(page, machine, lab, tmp_path):
    """The worker is away when the job is asked for; tend tells the next one."""
    machine.kill("worker-short")
    machine.kill("broker")
    file = tmp_path / "prompts.jsonl"
    file.write_text('"Why is the sky blue?"\n')
    page.goto(machine.url + reverse("datasets:import", args=[lab.pk]))
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Look at the file").click()
    expect(page.get_by_text("when the worker for short jobs is free")).to_be_visible()
    machine.broker().short_worker().tend()
    expect(page.get_by_role("button", name="Import 1 row")).to_be_visible(timeout=PATIENCE)
