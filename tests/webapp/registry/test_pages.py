from io import BytesIO
from zipfile import ZipFile

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import (
    a_kept_adapter,
    a_label,
    a_project,
    a_run,
    a_user,
    an_artifact,
    some_tasks,
)
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.datasets.services import freeze_snapshot
from webapp.registry.queries import ancestors
from webapp.site import pages

ACCURACY = {"value": 0.83, "low": 0.78, "high": 0.88, "n": 90, "unit": ""}


@pytest.fixture
def url(project):
    return reverse("registry:models", args=[project.pk])


@pytest.fixture
def inside(client, researcher):
    client.force_login(researcher)
    return client


def page_of(artifact):
    return reverse("registry:model", args=[artifact.project_id, artifact.pk])


def made_from(project, folder, name, type=Artifact.Type.MODEL, kind="align", **inputs):
    """An artifact whose run read these artifacts."""
    run = a_run(project, "pretrain", name=f"{kind} of {name}")
    for role, artifact in inputs.items():
        ArtifactInput.objects.create(run=run, artifact=artifact, role=role)
    return an_artifact(project, folder, type=type, name=name, producer=run)


@pytest.fixture
def lineage(project, var):
    """Labels and a starter make a reward model; all three make a policy."""
    a_label(some_tasks(project)[0])
    snapshot = freeze_snapshot(project)
    starter = an_artifact(project, var, name="Starter", producer=a_run(project))
    read = {"backbone": starter, "labels": snapshot.artifact}
    reward = made_from(project, var, "Reward A", Artifact.Type.REWARD, "reward", **read)
    policy = made_from(project, var, "Policy A", policy=starter, reward=reward)
    return snapshot, starter, reward, policy


def test_an_encoder_is_offered_to_what_only_reads_alone(project, inside, var):
    encoder = an_artifact(project, var, type=Artifact.Type.ENCODER, name="A BERT")
    page = inside.get(page_of(encoder))
    assertContains(page, "no policy")
    titles = [use.title for use in page.context["start"]]
    assert titles == ["Train a reward model", "Train a classifier", "Distil into a smaller model"]
    assertNotContains(page, "Start a round")
    assert encoder in project.artifacts.backbones()
    assert encoder not in project.artifacts.models()


def test_annotators_have_no_models_page(project, client, url, lineage):
    client.force_login(a_user(project, Role.ANNOTATOR))
    assert client.get(url).status_code == client.get(page_of(lineage[1])).status_code == 404


def test_another_projects_model_does_not_exist(project, inside, var):
    foreign = an_artifact(a_project(), var)
    assert inside.get(page_of(foreign)).status_code == 404
    borrowed = reverse("registry:model", args=[project.pk, foreign.pk])
    assert inside.get(borrowed).status_code == 404


def test_a_snapshot_is_not_a_model(project, inside, lineage):
    snapshot = lineage[0]
    assert inside.get(page_of(snapshot.artifact)).status_code == 404


def test_without_models_the_page_offers_the_starter(project, inside, url):
    response = inside.get(url)
    assertContains(response, "No model yet")
    assertContains(response, reverse("runs:start", args=[project.pk]) + "?kind=pretrain")


def test_models_are_listed_newest_first_with_their_numbers(project, inside, url, var, lineage):
    summary = {"accuracy": ACCURACY, "parameters": 1234567}
    newest = an_artifact(project, var, Artifact.Type.REWARD, name="Reward B", summary=summary)
    response = inside.get(url)
    assert response.context["page"][0] == newest
    assertContains(response, "83 % ± 5 held-out accuracy")
    assertContains(response, "1,234,567")
    assertNotContains(response, "Snapshot 1")


def test_the_lineage_goes_from_policy_to_labels(lineage):
    snapshot, starter, reward, policy = lineage
    first, second = ancestors(policy)
    assert (first.role, first.artifact, first.parents) == ("policy", starter, [])
    assert (second.role, second.artifact) == ("reward", reward)
    assert {parent.artifact for parent in second.parents} == {starter, snapshot.artifact}


def test_the_lineage_costs_a_query_a_generation(lineage, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        ancestors(lineage[-1])


def test_a_models_page_links_where_it_comes_from_and_what_was_made_of_it(inside, lineage):
    snapshot, starter, reward, policy = lineage
    response = inside.get(page_of(reward))
    assertContains(response, page_of(starter))
    assertContains(response, page_of(policy))
    url = reverse("datasets:snapshot", args=[snapshot.project_id, snapshot.pk])
    assertContains(response, url)


def test_a_policy_offers_a_round_and_answers(project, inside, lineage):
    policy, reward = lineage[-1], lineage[-2]
    response = inside.get(page_of(policy))
    assertContains(response, f"?policy={policy.pk}")
    assertContains(response, f"?kind=generate&amp;policy={policy.pk}")
    assertNotContains(inside.get(page_of(reward)), "Answer prompts")


def test_a_models_card_shows_what_its_run_measured(project, inside, var):
    summary = {"accuracy": ACCURACY, "pairs_train": 300, "path": "<script>"}
    model = an_artifact(project, var, Artifact.Type.REWARD, summary=summary)
    response = inside.get(page_of(model))
    assertContains(response, "0.83 ± 0.05")
    assertContains(response, "Pairs to train on")
    assertContains(response, "&lt;script&gt;")


def test_a_models_card_says_what_ends_its_answers(project, inside, var):
    facts = {"answers_end_with": "<|im_end|> (chat template)", "prompt_ends_with": "<|user|>\n"}
    model = an_artifact(project, var, summary=facts | {"turn_closes_with": "nothing of its own"})
    response = inside.get(page_of(model))
    for said in ("An answer ends with", "&lt;|im_end|&gt; (chat template)", "A turn closes with"):
        assertContains(response, said)
    assertContains(response, "A prompt ends with")


def test_models_come_in_pages_at_a_constant_cost(
    project, inside, url, var, django_assert_max_num_queries, monkeypatch
):
    monkeypatch.setattr(pages, "ROWS", 15)
    for number in range(16):
        made_from(project, var, f"Model {number}")
    with django_assert_max_num_queries(11):
        response = inside.get(url)
    assert len(response.context["page"]) == 15


def test_whole_numbers_shares_and_flags_are_spelled_out(project, inside, var):
    summary = {"kl_reference": ACCURACY, "steps": 12000, "loss": 2.123456, "cached": False}
    model = an_artifact(project, var, summary=summary)
    numbers = {
        number.name: number.value for number in inside.get(page_of(model)).context["numbers"]
    }
    assert numbers == {
        "KL to the reference (nats)": "",
        "Steps": "12,000",
        "Loss": "2.123",
        "Cached": "no",
    }


def test_memory_is_told_by_the_title_of_each_kind_of_run_and_by_the_name_of_an_unknown_one(
    project, inside, var
):
    summary = {"memory": {"sft": 3_000_000_000, "distil": 2_000_000_000}}
    answer = inside.get(page_of(an_artifact(project, var, summary=summary)))
    assertContains(answer, "Fine-tune on answers")
    assertContains(answer, "Distil")


def test_an_adapter_that_was_kept_is_downloaded_from_its_model_s_page(project, inside, var):
    model, plain = a_kept_adapter(project, var), an_artifact(project, var)
    here = reverse("registry:adapter", args=[project.pk, model.pk])
    assertContains(inside.get(page_of(model)), here)
    with ZipFile(BytesIO(b"".join(inside.get(here)))) as archive:
        assert archive.namelist() == ["adapter/adapter_config.json"]
    assertNotContains(inside.get(page_of(plain)), "/adapter/")
    assert inside.get(reverse("registry:adapter", args=[project.pk, plain.pk])).status_code == 404
