"""One of several processes: `python -m tests.alignment.several FOLDER …` computes runs in turn.

Started with torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR), one start for many runs.
"""

import sys
from pathlib import Path

from alignment.__main__ import run

if __name__ == "__main__":
    sys.exit(max(run(Path(folder)) for folder in sys.argv[1:]))
