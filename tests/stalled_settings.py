"""The settings, with a program for live answers that never says anything."""

import sys

from tests.forked_settings import *  # noqa: F403

RESIDENT = [sys.executable, "-I", "-S", "-c", "input()"]
