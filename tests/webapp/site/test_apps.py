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
