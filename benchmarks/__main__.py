"""`python -m benchmarks NAME …`: run one measurement; without a name, list them."""

import runpy
import signal
import sys
from pathlib import Path


def main() -> None:
    """Run the module of that name as a program; SIGTERM ends it and all that it started, as Ctrl-C does."""
    files = (path for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    names = sorted(path.stem for path in files if "__main__" in path.read_text(encoding="utf-8"))
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.exit(f"python -m benchmarks {' | '.join(names)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    del sys.argv[0]
    runpy.run_module(f"benchmarks.{sys.argv[0]}", run_name="__main__")


if __name__ == "__main__":
    main()
