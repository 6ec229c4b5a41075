"""One of several processes: `python -m tests.alignment.several PORT=FOLDER …` computes runs in turn.

Started with torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR), one start for many runs, each of which
meets at a port of its own; those whose folder is called fsdp hold their model in parts.
"""

import os
import sys
from pathlib import Path

from alignment.__main__ import run
from alignment.models.sharding import SHARDING


def computed(task: str) -> int:
    port, folder = task.split("=")
    os.environ["MASTER_PORT"] = port
    os.environ[SHARDING] = "fsdp" if Path(folder).name.startswith("fsdp") else ""
    return run(Path(folder))


if __name__ == "__main__":
    sys.exit(max(computed(task) for task in sys.argv[1:]))
