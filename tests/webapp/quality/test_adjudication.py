"""Decisions about tasks: they speak instead of labels, and erase none."""

from uuid import uuid4

import pytest

from tests.factories import a_label, a_user, again
from webapp.datasets import snapshots
from webapp.datasets.services import freeze_snapshot
from webapp.labeling.models import Label
from webapp.quality.adjudication import AdjudicationError, Decision, adjudicate, take_decision_back
from webapp.quality.models import Adjudication

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def decide(task, by, choice=2, **columns):
    decision = Decision.by_place(task, {"choice": choice}, "Because.")
    return adjudicate(task, decision, by=by, **{"key": uuid4()} | columns)


def frozen(project):
    """Whether each row of a new snapshot is overruled, and what a trainer takes of it."""
    snapshot = freeze_snapshot(project)
    rows = list(snapshots.read(snapshot.artifact.path))
    told = [(row["source"], row["overruled"], row["pairs"]) for row in rows]
    chosen = [one.chosen for row in rows for one in snapshots.records_of(row)]
    return told, chosen, snapshot


def test_a_decision_speaks_instead_of_labels_in_snapshots_and_erases_none(
    project, researcher, disputed
):
    before = list(Label.objects.values_list("verdict", "counted", "superseded").order_by("pk"))
    assert sorted(frozen(project)[1]) == ["Longer.", "Short."]
    decide(disputed, researcher)
    told, chosen, snapshot = frozen(project)
    assert told == [("label", True, 0), ("label", True, 0), ("adjudication", False, 1)]
    assert chosen == [disputed.completions[0].text]
    assert snapshot.manifest["sources"] == {"label": 2, "adjudication": 1}
    assert snapshot.pairs == 1
    assert (
        list(Label.objects.values_list("verdict", "counted", "superseded").order_by("pk")) == before
    )


@pytest.mark.twice
def test_taken_back_the_labels_speak_again_and_the_decision_is_kept(project, researcher, disputed):
    decide(disputed, researcher)
    assert take_decision_back(disputed, by=researcher)
    assert not take_decision_back(disputed, by=researcher)
    told, chosen, _snapshot = frozen(project)
    assert told == [("label", False, 1)] * 2
    assert len(chosen) == 2
    assert Adjudication.objects.get().ended_by == researcher


def test_a_later_decision_replaces_one_before(project, researcher, disputed):
    first = decide(disputed, researcher, 2)
    second = decide(disputed, other := a_user(project), 6)
    assert (again(first).standing, again(first).ended_by) == (False, other)
    assert again(second).standing
    assert second.verdict == "1>0"


@pytest.mark.twice
def test_sent_again_a_decision_is_stored_once(researcher, disputed):
    key = uuid4()
    first = decide(disputed, researcher, key=key)
    decide(disputed, researcher, 6)
    assert decide(disputed, researcher, key=key) == first
    assert not again(first).standing


def test_what_is_no_answer_decides_nothing(researcher, disputed):
    standing = decide(disputed, researcher)
    with pytest.raises(AdjudicationError, match="no answer"):
        decide(disputed, researcher, 9)
    assert again(standing).standing


def test_who_decides_like_somebody_means_what_they_mean(researcher, disputed):
    label = disputed.labels.order_by("pk")[1]
    made = adjudicate(disputed, Decision.like(label), by=researcher, key=uuid4())
    assert (made.verdict, made.order) == (label.verdict, label.order)


def test_what_comes_after_a_decision_is_overruled_too(project, researcher, disputed):
    decide(disputed, researcher)
    a_label(disputed, 4)
    assert [overruled for _, overruled, _ in frozen(project)[0]] == [True, True, True, False]


def test_a_silent_repeat_says_nothing_in_a_snapshot(project, disputed):
    disputed.repeat_of = disputed
    disputed.save()
    assert frozen(project)[:2] == ([("label", True, 0)] * 2, [])
