"""Tasks chosen by what scores propose, and by chance beside them."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from alignment.seam.records import ProposedRecord, read_jsonl
from tests.factories import (
    a_completion,
    a_run,
    again,
    compare,
    some_prompts,
    some_proposals,
    some_scores,
)
from webapp.jobs import execution
from webapp.jobs.models import State
from webapp.labeling.models import Completion, Task
from webapp.projects.models import Prompt, Split
from webapp.quality.allocation import (
    FIRST,
    AllocationWish,
    choose_pairs,
    free_pairs,
    newest_scores,
    start_allocation,
)
from webapp.quality.models import Allocation, ChosenTask

pytestmark = pytest.mark.django_db
PAIRS = 20


@pytest.fixture
def pairs(project):
    """Two answers to each prompt, with the chance of the first."""
    prompts = some_prompts(project, PAIRS, split=Split.TRAIN)
    return [
        (a_completion(prompt), a_completion(prompt), place / PAIRS)
        for place, prompt in enumerate(prompts)
    ]


@pytest.fixture
def scores(project, var, pairs):
    return some_proposals(project, var, pairs)


def wish_for(scores, **changes):
    usual = {"method": "ensemble", "wanted": 10, "control": 0.2, "need": 1, "seed": 0}
    return AllocationWish(**usual | changes, scores=scores.pk)


def allocated(scores, key="one", **changes):
    """The job, done."""
    job = start_allocation(scores.project, wish_for(scores, **changes), key=key)
    execution.execute(execution.claim(job.pk))
    job = again(job)
    assert job.state == State.DONE, job.message
    return job


def first_of(chosen):
    """Which pairs tasks are about, by their place among all."""
    keys = list(Prompt.objects.order_by("pk").values_list("pk", flat=True))
    return sorted(keys.index(one.task.prompt_id) for one in chosen)


@pytest.mark.parametrize("method", ["ensemble", "design"])
def test_the_first_of_the_order_are_asked_before_all_others(scores, method):
    job = allocated(scores, method=method)
    assert job.result == {"wanted": 10, "tasks": 10, "control": 2}
    made = Allocation.objects.get()
    assert (made.scores, made.method, made.wanted, made.control) == (scores, method, 10, 0.2)
    by_chance = first_of(made.tasks.filter(chosen_by="control"))
    order = [place for place in range(PAIRS) if place not in by_chance]
    order = order if method == "ensemble" else order[::-1]
    assert first_of(made.tasks.filter(chosen_by=method)) == sorted(order[:8])
    assert set(Task.objects.values_list("priority", "kind", "need")) == {(FIRST, "compare", 1)}


def test_the_chance_is_that_of_the_answer_at_the_first_place(scores, pairs):
    later, earlier = pairs[3][:2]
    Completion.objects.filter(pk=earlier.pk).update(
        model=scores
    )  # whose answers stand behind others
    allocated(scores, wanted=20)
    chances = {one.task.completions[0].pk: one.chance for one in ChosenTask.objects.all()}
    assert chances[pairs[7][0].pk] == pytest.approx(7 / PAIRS)
    assert chances[later.pk] == pytest.approx(3 / PAIRS)
    Completion.objects.filter(pk=later.pk).update(model=scores)
    Completion.objects.filter(pk=earlier.pk).update(model=None)
    Task.objects.all().delete()
    allocated(scores, key="two", wanted=20)
    (turned,) = (one for one in ChosenTask.objects.all() if one.task.completions[0] == earlier)
    assert turned.chance == pytest.approx(1 - 3 / PAIRS)


def test_chance_draws_from_all_and_again_the_same_by_its_seed(scores):
    (free,) = free_pairs(
        scores.project, list(read_jsonl(scores.path / "pairs.jsonl", ProposedRecord))
    )
    drawn = [
        {
            one.prompt
            for by, one in choose_pairs(free, wish_for(scores, seed=seed))
            if by == "control"
        }
        for seed in (0, 0, 1, 2, 3)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(map(frozenset, drawn))) > 2
    assert {len(one) for one in drawn} == {2}


def test_what_is_asked_gone_or_no_longer_labelled_is_passed_over(scores, pairs, project):
    compare(project, [pairs[0][:2]])
    pairs[1][0].delete()
    Prompt.objects.filter(pk=pairs[2][0].prompt_id).update(split=Split.TEST)
    job = allocated(scores, wanted=PAIRS)
    assert job.result["tasks"] == PAIRS - 3
    assert first_of(ChosenTask.objects.all()) == list(range(3, PAIRS))
    assert allocated(scores, key="two").result == {"wanted": 10, "tasks": 0, "control": 0}
    assert Allocation.objects.count() == 1


def test_one_press_is_one_job(scores):
    jobs = [start_allocation(scores.project, wish_for(scores, seed=n), key="same") for n in (0, 1)]
    assert jobs[0] == jobs[1]


def test_only_a_run_that_scored_answers_leaves_such_scores(scores, project, var):
    newer = some_scores(a_run(project), var)
    assert newer.type == scores.type
    assert newest_scores(project) == scores


def test_the_page_of_the_job_says_what_was_made_and_what_lacks(scores, client, researcher):
    client.force_login(researcher)
    made = reverse("jobs:detail", args=[scores.project_id, allocated(scores).pk])
    assertContains(client.get(made), "10 tasks are made, 2 of them by chance")
    lacking = reverse(
        "jobs:detail", args=[scores.project_id, allocated(scores, "two", wanted=50).pk]
    )
    page = client.get(lacking)
    assertContains(page, "10 tasks are made, 10 of them by chance")
    assertContains(page, "Score the answers again.")
