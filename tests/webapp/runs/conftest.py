"""What runs read."""

import pytest

from tests.factories import an_artifact, some_prompts
from webapp.artifacts.models import Artifact


@pytest.fixture
def models(request, tmp_path):
    """A policy, its reference and a reward model, as inputs of an align run; prompts beside them."""
    fixture = "lab" if "lab" in request.fixturenames else "project"
    project = request.getfixturevalue(fixture)
    some_prompts(project, 10, split="train")
    some_prompts(project, 10, split="test")
    policy = an_artifact(project, tmp_path)
    reward = an_artifact(project, tmp_path, type=Artifact.Type.REWARD)
    return {"policy": policy, "reference": policy, "reward": reward}
