"""The settings, with toy kinds of run and trainers that are forked."""

from tests.forked_settings import *  # noqa: F403
from tests.toys import adding_runs  # noqa: F401 - for what it does
