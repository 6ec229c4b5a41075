"""Choices among very many rows: a few are listed, the others are found by name, and any is taken."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alignment.kinds import KINDS
from alignment.kinds.kind import ArtifactType
from tests.factories import a_snapshot, some_labels, some_prompts, some_tasks
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.datasets.forms import ExportForm
from webapp.labeling.forms import LabelFilter
from webapp.launch.form import StartForm
from webapp.launch.offers import offered
from webapp.registry.forms import AddForm
from webapp.rounds.config import RoundConfig
from webapp.rounds.forms import RoundForm
from webapp.site.choices import MOST, FoundChoice

HTMX = {"HX-Request": "true"}


def models(project, number, type="model"):
    stored = {"project": project, "type": type, "manifest_sha256": "0" * 64, "bytes": 1}
    return Artifact.objects.bulk_create(
        Artifact(name=f"Model {n:04}", **stored) for n in range(number)
    )


@pytest.fixture
def many(project):
    return models(project, 2 * MOST)


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


@pytest.fixture
def start(project):
    some_prompts(project, 3, split="train")
    return f"{reverse('runs:start', args=[project.pk])}?kind=generate"


def listed(response, name="policy"):
    return [str(value) for value, _ in response.context["form"].fields[name].choices if value]


def test_few_are_all_listed_and_nothing_is_looked_for(rita, project, start):
    few = models(project, MOST)
    response = rita.get(start)
    assert listed(response) == [str(one.pk) for one in reversed(few)]
    assert b"find-policy" not in response.content


def test_of_many_the_newest_are_listed_and_the_chosen_one(rita, many, start):
    response = rita.get(f"{start}&policy={many[0].pk}")
    assert listed(response) == [str(one.pk) for one in [*many[: -MOST - 1 : -1], many[0]]]
    assert f'<option value="{many[0].pk}" selected>' in response.content.decode()
    assert b'name="find-policy"' in response.content


def test_others_are_found_by_a_part_of_their_name_without_a_script(rita, many, start):
    response = rita.get(start, query_params={"kind": "generate", "find-policy": " model 003 "})
    assert [one.name for one in many[30:40]][::-1] == [
        row.name for row in response.context["form"].fields["policy"].listed
    ]
    assert 'form="finder"' in response.content.decode()  # Enter there starts no run


def test_with_a_script_only_the_field_is_drawn_anew(rita, many, start):
    field = {"HX-Target": "id_policy", **HTMX}
    response = rita.get(f"{start}&find-policy=0007&policy={many[3].pk}", headers=field)
    assert response.content.startswith(b'<select name="policy"')
    assert [
        many[7].name in response.content.decode(),
        many[8].name in response.content.decode(),
    ] == [True, False]
    assert f'<option value="{many[3].pk}" selected>' in response.content.decode()


@pytest.mark.parametrize("sought", ["%", "_", "\0", "'", "x" * 10_000, "nothing like it", "\\"])
def test_whatever_is_looked_for_is_text(rita, many, start, sought):
    response = rita.get(start, query_params={"kind": "generate", "find-policy": sought})
    assert response.status_code == 200
    assert len(listed(response)) in (1, MOST)  # the proposed one stays


def test_one_that_is_not_listed_is_taken(project, many):
    form = StartForm({"policy": many[0].pk}, kind=KINDS["sft"], project=project)
    form.is_valid()
    assert "policy" not in form.errors
    assert form.cleaned_data.get("policy", many[0]) == many[0]


def test_every_choice_among_rows_of_a_project_is_a_short_one(rita, project, many):
    """Nobody has to look through more than a screen, on any form."""
    project.memberships.update(role=Role.ADMIN)
    pages = [
        f"{reverse('runs:start', args=[project.pk])}?kind={name}"
        for name in ("align", "evaluate", "reward")
    ]
    pages += [
        reverse(name, args=[project.pk])
        for name in ("rounds:launch", "registry:add", "registry:upload")
    ]
    for page in pages:
        form = rita.get(page).context["form"]
        rows = [field for field in form.fields.values() if hasattr(field, "queryset")]
        assert rows
        for field in rows:
            assert isinstance(field, FoundChoice)
            assert len(list(field.choices)) <= MOST + 2


def listings(asked):
    """The queries by which fields list rows."""
    return [query["sql"] for query in asked if f"LIMIT {MOST + 1}" in query["sql"]]


def test_fields_that_choose_among_the_same_rows_look_them_up_once(project, many):
    form = StartForm(
        initial={"policy": many[0], "find-reference": ""}, kind=KINDS["evaluate"], project=project
    )
    with CaptureQueriesContext(connection) as asked:
        shown = [list(form.fields[name].choices) for name in ("policy", "reference", "policy")]
    assert len(listings(asked)) == 1
    assert shown[0][-1] == (many[0].pk, form.fields["policy"].label_from_instance(many[0]))
    assert shown[0][-2] == shown[1][-1]  # what one has chosen is not the other's
    sought = {"find-reference": "0007"}
    form = StartForm(initial=sought, kind=KINDS["evaluate"], project=project)
    assert len(list(form.fields["reference"].choices)) == 2  # none, and the one that is found
    assert len(form.fields["policy"].listed) == MOST + 1


FORMS = {
    "round": lambda project: RoundForm(project=project, start=RoundConfig()),
    "export": lambda project: ExportForm(project=project),
    "model": lambda project: AddForm(project=project),
    "labels": lambda project: LabelFilter({}, project=project),
    **{
        name: lambda project, kind=kind: StartForm(project=project, kind=kind)
        for name, kind in offered().items()
        if kind.artifacts
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_choices_read_of_a_row_what_tells_it_from_others(project, many, tmp_path, name):
    a_snapshot(project, tmp_path)
    some_labels(some_tasks(project))
    for type in (ArtifactType.REWARD, ArtifactType.COMPLETIONS, ArtifactType.CODE):
        models(project, 1, type)
    rows = [one for one in FORMS[name](project).fields.values() if isinstance(one, FoundChoice)]
    with CaptureQueriesContext(connection) as asked:
        assert [list(one.choices) for one in rows]
    found = listings(asked)
    long = ("manifest", "summary", "password", "label_keys", "guidelines")
    assert found
    assert not [sql for sql in found if any(f'"{column}"' in sql for column in long)]
    assert len(asked) == len(found)  # and nothing more of any row


def test_the_filter_of_labels_finds_annotators(rita, project):
    some_labels(some_tasks(project, MOST + 5))
    url = reverse("labeling:labels", args=[project.pk])
    names = [user.username for user in rita.get(url).context["form"].fields["annotator"].listed]
    assert len(names) == MOST + 1
    last = project.tasks.latest("pk").labels.get().annotator
    response = rita.get(
        url, {"find-annotator": last.username}, headers={"HX-Target": "id_annotator", **HTMX}
    )
    assert f">{last.username}</option>" in response.content.decode()
