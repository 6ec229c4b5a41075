"""Toy kinds of task, each there for as long as its test lasts."""

from copy import deepcopy

import pytest

from webapp.labeling.kinds import registered


@pytest.fixture
def add_kind(settings):
    """Add a kind whose template lies in its own folder."""
    kinds = []

    def add(kind):
        templates = deepcopy(settings.TEMPLATES)
        templates[0]["DIRS"] = [*templates[0]["DIRS"], kind.folder]
        settings.TEMPLATES = templates
        kinds.append(registered(kind))
        return kinds[-1].__enter__()

    yield add
    for kind in kinds:
        kind.__exit__(None, None, None)
