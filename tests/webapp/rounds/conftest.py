"""A project that is ready for a round: prompts of both splits, a model and frozen labels."""

import pytest

from tests.factories import a_snapshot, a_user, an_artifact, some_prompts
from webapp.accounts.roles import Role
from webapp.projects.models import Split
from webapp.rounds.config import PRESETS
from webapp.rounds.services import start_round


@pytest.fixture
def prompts(project):
    train = some_prompts(project, 2, split=Split.TRAIN)
    return train + some_prompts(project, 8, split=Split.TEST)


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
