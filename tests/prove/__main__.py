"""`python -m tests.prove [PART …]`: the long proofs, in parts; without one, their names.

What follows `--` is passed on to pytest.
"""

import os
import subprocess
import sys

from tests.prove.parts import PARTS, commands

NOTHING_COLLECTED = 5  # pytest's exit status


def listed() -> str:
    """The parts, what each shows and about how long it takes."""
    rows = (f"  {name:12} {part.minutes:3} min  {part.title}" for name, part in PARTS.items())
    return "\n".join(["make prove PART=… runs one of", *rows])


def prove(name: str, more: list[str]) -> bool:
    """Run a part to its end; whether all of it held."""
    held = True
    for command in commands(name):
        arguments = [*command.arguments, *(more if "pytest" in command.arguments else ())]
        print("python", *arguments, flush=True)
        status = subprocess.run(
            [sys.executable, *arguments], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
        ).returncode
        fine = status in (0, NOTHING_COLLECTED) if "pytest" in arguments else status == 0
        held &= fine != command.must_fail
    print(f"{name}: {'held' if held else 'did not hold'}", flush=True)
    return held


def main(arguments: list[str]) -> int:
    """Prove what is named, or name what can be proved."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    names, more = arguments[:cut], arguments[cut + 1 :]
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        print(*(f"There is no part {name}." for name in unknown), listed(), sep="\n")
        return 1 if unknown else 0
    held = [prove(name, more) for name in names]  # the next part is run whatever this one says
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
