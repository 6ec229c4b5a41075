"""Rewards from code: an admin adds a file, which is loaded apart and stored by its hash; runs read it, and its page shows it."""

import json
from hashlib import sha256

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from alignment.foreign.code_files import LARGEST, read_code
from alignment.foreign.rewards import confinement_fault
from tests.factories import SOURCE, a_reward_from_code, a_run, a_user, an_artifact, some_prompts
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.registry import code_pages
from webapp.runs.inputs import prepare

pytestmark = pytest.mark.once


@pytest.fixture
def url(project):
    return reverse("registry:code", args=[project.pk])


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN)


@pytest.fixture
def inside(client, admin):
    client.force_login(admin)
    return client


@pytest.fixture
def add(inside, url, var):
    if fault := confinement_fault():
        pytest.skip(f"namespaces: {fault}")

    def add(source=SOURCE, function="reward", name="Length"):
        file = SimpleUploadedFile("mine.py", source)
        return inside.post(url, {"name": name, "function": function, "file": file})

    return add


def test_a_file_is_stored_by_its_hash_with_a_row_of_the_audit_log(add, inside, url, project, admin):
    answer = add()
    made = project.artifacts.get(type=Artifact.Type.CODE)
    assert answer.url == reverse("registry:source", args=[project.pk, made.pk])
    digest = sha256(SOURCE).hexdigest()
    assert made.summary == {"function": "reward", "sha256": digest}
    assert read_code(made.path, own=False)[0].function == "reward"
    row = AuditEntry.objects.get(act=Act.CODE_ADDED)
    assert (row.person, row.number, row.facts["sha256"]) == (admin, made.pk, digest)
    page = inside.get(answer.url)
    assertContains(page, digest)
    assertContains(page, "for text in completions]")
    assertContains(inside.get(url), digest[:16])


@pytest.mark.parametrize(
    ("source", "function", "reason"),
    [
        (b"reward = 1 / 0", "reward", "ZeroDivisionError"),
        (b"def reward(:", "reward", "SyntaxError"),
        (b"reward = 1", "reward", "there is no function “reward”"),
        (SOURCE, "other", "has no function “other”"),
        (SOURCE, "a b", "no name of a function"),
        (b"\xff\xff", "reward", "not UTF-8"),
        (SOURCE + b"#" * LARGEST, "reward", "larger than 1,024 KiB"),
        (b"open('/etc/passwd') and reward", "reward", "FileNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_leaves_nothing(
    add, project, source, function, reason
):
    assertContains(add(source, function), reason)
    assert not project.artifacts.exists()
    assert not AuditEntry.objects.filter(act=Act.CODE_ADDED).exists()


@pytest.mark.twice
def test_a_researcher_sees_rewards_and_adds_none(client, researcher, url, project, var):
    client.force_login(researcher)
    assertContains(client.get(url), "No reward from code yet")
    code = a_reward_from_code(project, var)
    page = client.get(url)
    assertContains(page, f"code={code.pk}")
    assertNotContains(page, "Add the reward")
    assert client.post(url).status_code == 404


def test_a_machine_without_namespaces_says_so_and_takes_no_file(inside, url, project, monkeypatch):
    monkeypatch.setattr(code_pages, "confinement_fault", lambda: "unshare: not permitted.")
    page = inside.get(url)
    assertContains(page, "unshare: not permitted.")
    assertNotContains(page, "Add the reward")
    file = SimpleUploadedFile("mine.py", SOURCE)
    inside.post(url, {"name": "A", "function": "reward", "file": file})
    assert not project.artifacts.exists()


@pytest.fixture
def ready(project, var):
    """What an alignment reads: a model, prompts, and code."""
    some_prompts(project, 3)
    return an_artifact(project, var, name="Starter"), a_reward_from_code(project, var)


def values(form):
    """What a browser sends of a form that nobody has touched."""
    said = {one.html_name: one.value() for one in form}
    return {
        name: value
        for name, value in said.items()
        if value not in (None, "") and value is not False
    }


def test_the_form_of_an_alignment_takes_code_in_place_of_a_reward_model(inside, project, ready):
    policy, code = ready
    start = reverse("runs:start", args=[project.pk])
    query = f"?kind=align&code={code.pk}&align-code_weight=1&align-reward_weight=0"
    form = inside.get(start + query).context["form"]
    given = values(form)
    assert (str(given["code"]), given["align-code_weight"]) == (str(code.pk), 1.0)
    page = inside.post(
        f"{start}?kind=align", given | {"policy": policy.pk, "code": code.pk, "reward": ""}
    )
    run = project.runs.get(kind="align")
    assert page.url == reverse("runs:detail", args=[project.pk, run.pk])
    assert {row.role: row.artifact for row in run.inputs.all()}["code"] == code
    assertContains(inside.get(reverse("registry:source", args=[project.pk, code.pk])), run.name)
    assertContains(inside.get(page.url), reverse("registry:source", args=[project.pk, code.pk]))


def test_code_that_has_no_weight_is_not_dropped_in_silence(inside, project, ready):
    policy, code = ready
    start = reverse("runs:start", args=[project.pk]) + "?kind=align"
    form = inside.get(start).context["form"]
    given = values(form)
    given |= {"policy": policy.pk, "code": code.pk, "align-reward_weight": 0, "align-rule": "words"}
    assertContains(inside.post(start, given), "Give the reward from code a weight, or choose none.")
    given |= {"code": "", "align-code_weight": 1}
    assertContains(inside.post(start, given), "These settings need one; choose it here.")


def test_a_trainer_is_given_the_folder_and_the_prompts_with_their_columns(project, ready, tmp_path):
    policy, code = ready
    project.prompts.update(columns='{"answer": 4}')
    inputs = {"policy": policy, "reference": policy, "code": code}
    config = {"code_weight": 1, "reward_weight": 0}
    run = a_run(project, "align", inputs=inputs, config=config)
    paths = prepare(run, tmp_path)
    assert paths["code"] == str(code.path)
    rows = [json.loads(line) for line in (tmp_path / "prompts.jsonl").read_text().splitlines()]
    assert {row["columns"] for row in rows} == {'{"answer": 4}'}
