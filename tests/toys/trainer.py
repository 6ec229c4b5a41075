"""The trainer, with toy kinds of run."""

import sys

from alignment.__main__ import program
from tests.toys import adding_runs  # noqa: F401 - for what it does

if __name__ == "__main__":
    sys.exit(program())
