"""`python -m benchmarks NAME …`: run one measurement; without a name, list them."""

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the module of that name as a program."""
    here = Path(__file__).parent
    names = sorted(path.stem for path in here.glob("*.py") if not path.stem.startswith("_"))
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.exit(f"python -m benchmarks {' | '.join(names)}")
    del sys.argv[0]
    runpy.run_module(f"benchmarks.{sys.argv[0]}", run_name="__main__")


if __name__ == "__main__":
    main()
