"""The settings, with a stand-in trainer."""

import sys
from pathlib import Path

from webapp.settings import *  # noqa: F403

TRAINER_COMMAND = [sys.executable, "-I", str(Path(__file__).with_name("stand_in.py"))]
