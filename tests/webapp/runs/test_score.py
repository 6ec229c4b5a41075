"""Which answers of a project a run scores, and what it is told of the pairs that people were asked about."""

import pytest

from alignment.seam.records import AskedRecord, StoredRecord, read_jsonl
from tests.factories import a_completion, a_prompt, a_run, a_worker, an_artifact, compare
from webapp.artifacts.models import Artifact
from webapp.labeling.models import Task
from webapp.projects.models import Split
from webapp.runs import execution, folders
from webapp.runs.errors import RunError
from webapp.runs.models import Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def scoring(project, var):
    """A run of the kind, claimed, with so many prompts."""

    def scoring(prompts=10):
        reward = an_artifact(project, var, type=Artifact.Type.REWARD)
        a_run(project, "score", {"prompts": prompts}, inputs={"reward": reward})
        return execution.claim("runs", a_worker())

    return scoring


@pytest.fixture
def prompts(project):
    return [a_prompt(project, split=Split.TRAIN) for _ in range(3)]


def prepared(run):
    folder = folders.prepare(run) / "inputs"
    files = (("completions", StoredRecord), ("asked", AskedRecord))
    return [list(read_jsonl(folder / f"{name}.jsonl", record)) for name, record in files]


@pytest.mark.once
def test_answers_that_can_be_compared_come_with_their_keys(scoring, prompts, project):
    answers = [a_completion(prompt) for prompt in prompts[:2] for _ in range(2)]
    a_completion(prompts[2])
    tested = a_prompt(project, split=Split.TEST)
    for _ in range(2):
        a_completion(tested)
    rows, asked = prepared(scoring())
    assert {row.key: row.completion for row in rows} == {str(one.pk): one.text for one in answers}
    assert asked == []


def test_what_people_were_asked_comes_along_and_its_prompts_last(scoring, prompts, project):
    answers = [[a_completion(prompt), a_completion(prompt)] for prompt in prompts]
    compare(project, [answers[0]])
    rows, asked = prepared(scoring())
    assert [set(one.completions) for one in asked] == [{one.text for one in answers[0]}]
    assert {row.prompt.key for row in rows[4:]} == {prompts[0].key}
    Run.objects.all().delete()
    rows, asked = prepared(scoring(prompts=2))
    assert {row.prompt.key for row in rows} == {one.key for one in prompts[1:]}
    assert (asked, Task.objects.count()) == ([], 1)


@pytest.mark.once
def test_where_nothing_can_be_compared_it_is_refused(scoring, prompts):
    a_completion(prompts[0])
    with pytest.raises(RunError, match="No training prompt has two answers"):
        prepared(scoring())
