"""Rounds that are over are told of once."""

import pytest

from tests.factories import a_snapshot, an_artifact, run_at, some_prompts
from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.rounds.config import PRESETS
from webapp.rounds.ends import tell_ended_rounds
from webapp.rounds.services import retry_round, start_round
from webapp.runs.models import State


@pytest.fixture
def made(project, researcher, tmp_path, var):
    for split, number in {"train": 40, "validation": 9, "test": 10}.items():
        some_prompts(project, number, split=split)
    return start_round(
        snapshot=a_snapshot(project, tmp_path),
        policy=an_artifact(project, tmp_path),
        config=PRESETS["quick"].config,
        key="r",
        created_by=researcher,
    )


def test_a_round_ends_with_the_last_of_its_runs_and_again_after_another_try(made, researcher):
    first, *others = made.runs.all()
    for run in others:
        run_at(run, state=State.SUCCEEDED)
    assert tell_ended_rounds() == 0
    run_at(first, state=State.FAILED)
    assert [tell_ended_rounds(), tell_ended_rounds()] == [1, 0]
    retry_round(made, by=researcher)
    assert tell_ended_rounds() == 0
    for run in made.runs.all():
        run_at(run, state=State.SUCCEEDED)
    assert [tell_ended_rounds(), tell_ended_rounds()] == [1, 0]
    told = AuditEntry.objects.filter(act=Act.ROUND_ENDED, number=made.pk).order_by("pk")
    assert [row.facts["state"] for row in told] == ["failed", "succeeded"]
    assert {row.project_id for row in told} == {made.project_id}
