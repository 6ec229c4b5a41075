"""What is ready before a program does what it is for."""

import atexit
import gc

import pytest
from django.apps import apps


@pytest.fixture
def asked(monkeypatch):
    """What is asked of the collector of garbage, and for the end, without its being done."""
    asked = {"register": [], "set_threshold": []}
    monkeypatch.setattr(atexit, "register", asked["register"].append)
    monkeypatch.setattr(gc, "set_threshold", asked["set_threshold"].append)
    return asked


def test_nothing_that_is_loaded_is_looked_through_for_garbage(asked):
    gc.unfreeze()
    apps.get_app_config("site").ready()
    assert gc.get_freeze_count() > 0
    assert asked["register"] == [gc.freeze]


def test_new_objects_are_looked_through_seldom_but_not_never(asked):
    apps.get_app_config("site").ready()
    (number,) = asked["set_threshold"]
    assert 5_000 <= number <= 100_000
