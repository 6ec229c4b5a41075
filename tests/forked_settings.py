"""The settings, with trainers that are forked where torch is loaded."""

import os
import sys
from pathlib import Path

from webapp.settings import *  # noqa: F403

ASKS = str(Path(__file__).with_name("forked_trainer.py"))
RESIDENT = [sys.executable, "-I", "-S", ASKS, os.environ["ATTUNE_TRAINERS"], "answer"]
TRAINER_COMMAND = [sys.executable, "-I", "-S", ASKS, os.environ["ATTUNE_TRAINERS"]]
