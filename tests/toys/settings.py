"""The settings, with toy kinds of run."""

import sys

from tests.toys import adding_runs  # noqa: F401 - for what it does
from webapp.settings import *  # noqa: F403

TRAINER_COMMAND = [sys.executable, "-m", "tests.toys.trainer", "run"]
