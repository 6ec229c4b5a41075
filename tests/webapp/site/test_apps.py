"""What is ready before a program does what it is for."""

import atexit
import gc

from django.apps import apps


def test_nothing_that_is_loaded_is_looked_through_for_garbage(monkeypatch):
    at_the_end = []
    monkeypatch.setattr(atexit, "register", at_the_end.append)
    gc.unfreeze()
    apps.get_app_config("site").ready()
    assert gc.get_freeze_count() > 0
    assert at_the_end == [gc.freeze]


def test_new_objects_are_looked_through_seldom_but_not_never():
    assert 5_000 <= gc.get_threshold()[0] <= 100_000
    assert gc.isenabled()
