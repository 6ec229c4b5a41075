"""A project that is ready for a round: prompts of both splits, a model and frozen labels."""

import pytest

from tests.factories import a_prompt, a_snapshot, a_user, an_artifact
from webapp.accounts.roles import Role
from webapp.projects.models import Split
from webapp.rounds.config import PRESETS
from webapp.rounds.services import start_round


@pytest.fixture
def prompts(project):
    train = [a_prompt(project, split=Split.TRAIN) for _ in range(2)]
    return train + [a_prompt(project, split=Split.TEST) for _ in range(8)]


@pytest.fixture
def policy(project, var):
    return an_artifact(project, var, name="starter")


@pytest.fixture
def snapshot(project, var):
    return a_snapshot(project, var)


@pytest.fixture
def ready(project, prompts, policy, snapshot):
    """All that a round needs, as `start_round` takes it."""
    return {"snapshot": snapshot, "policy": policy, "config": PRESETS["quick"].config}


@pytest.fixture
def a_round(project, ready, researcher):
    return start_round(**ready, key="first", created_by=researcher)


@pytest.fixture
def annotator(project):
    return a_user(project, role=Role.ANNOTATOR)
