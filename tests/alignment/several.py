"""One of several processes: `python -m tests.alignment.several FOLDER …` computes runs in turn.

Started with torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR), one start for many runs; those whose
folder is called fsdp hold their model in parts.
"""

import os
import sys
from pathlib import Path

from alignment.__main__ import run
from alignment.sharding import SHARDING


def computed(folder: Path) -> int:
    os.environ[SHARDING] = "fsdp" if folder.name.startswith("fsdp") else ""
    return run(folder)


if __name__ == "__main__":
    sys.exit(max(computed(Path(folder)) for folder in sys.argv[1:]))
