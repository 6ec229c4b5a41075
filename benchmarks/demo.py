"""`python -m benchmarks demo`: the whole of `make demo --once`, of this tree and of other commits, by turns.

    python -m benchmarks demo --seeds 7 8 9
    python -m benchmarks demo --commits . 3361a46 --seeds 7

One JSON object a run: seconds of the whole and of each step, when the address was told and first answered, and what the
demo found. Each run has programs and a database of its own; a commit is checked out beside this tree.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

ROOT = Path(__file__).parent.parent
INSTALLED = (".venv", "node_modules")
FOUND = (
    "win_rate",
    "win_rate_ci",
    "reward_accuracy",
    "reward_accuracy_ci",
    "kl_reference",
    "forecast",
)
# The seed is no option of the demo: whoever starts it is to see the same as everybody else.
PLAY = """
import os, sys
sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
import django; django.setup()
from django.core.management import call_command
from webapp.demo import scenario
seed, port = map(int, sys.argv[1:])
scenario.SEED = seed
for name in ("STARTER", "COMPLETIONS"):
    if hasattr(scenario, name):
        setattr(scenario, name, getattr(scenario, name)._replace(seed=seed))
if hasattr(scenario, "ROUND"):
    scenario.ROUND = scenario.ROUND.model_copy(update={"seed": seed})
call_command("demo", once=True, port=port)
"""


def main() -> None:
    """Play and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks demo", description=__doc__)
    parser.add_argument("--commits", nargs="+", default=["."], help="`.` is this tree as it is")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7])
    options = parser.parse_args()
    for seed in options.seeds:
        for commit in options.commits:
            with tree_of(commit) as tree:
                print(json.dumps({"commit": commit, "seed": seed, **play(tree, seed)}), flush=True)


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The sources of a commit, with what is installed here."""
    if commit == ".":
        yield ROOT
        return
    with TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            for name in INSTALLED:
                (tree / name).symlink_to((ROOT / name).resolve())
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def git(*arguments: str) -> None:
    """Run git here."""
    subprocess.run(["git", *arguments], cwd=ROOT, check=True)


def play(tree: Path, seed: int) -> dict[str, object]:
    """One demo from nothing to its figures."""
    port, moments = free_port(), dict[str, float]()
    with TemporaryDirectory() as var:
        began = time.monotonic()
        with (
            subprocess.Popen(
                [sys.executable, "-c", PLAY, str(seed), str(port)],
                cwd=tree,
                env=environment() | {"ATTUNE_VAR": var, "PYTHONPATH": str(tree)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as program,
            ended(program),
        ):
            threading.Thread(target=listen, args=(program, began, moments)).start()
            while program.poll() is None and "answers" not in moments:
                if answers(port):
                    moments["answers"] = time.monotonic() - began
                with suppress(subprocess.TimeoutExpired):
                    program.wait(0.1)
            said = program.stdout.read() if program.stdout else ""
        seconds = time.monotonic() - began
    if program.returncode:
        sys.exit(f"The demo of {tree} ended with {program.returncode}; what it said is above.")
    found = json.loads(said.splitlines()[-1])
    moments = {name: round(moment, 1) for name, moment in moments.items()}
    kept = {name: found[name] for name in FOUND if name in found}  # of an older commit, fewer
    return {"whole": round(seconds, 1), **moments, "steps": found["seconds"], **kept}


def environment() -> dict[str, str]:
    """Ours, but for the database that benchmarks stand on: each demo makes its own."""
    return {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}


@contextmanager
def ended(program: "subprocess.Popen[str]") -> Iterator[None]:
    """Let a program end with what waits for it: when we are to end, it ends all that it started."""
    try:
        yield
    except BaseException:
        program.terminate()
        raise


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether the dashboard answers there."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).is_success
    except httpx.TransportError:
        return False


def listen(program: "subprocess.Popen[str]", began: float, moments: dict[str, float]) -> None:
    """Note when a program tells an address; what it says goes on to our own stderr."""
    for line in program.stderr or ():
        if "http://" in line:
            moments.setdefault("told", time.monotonic() - began)
        print(line, end="", file=sys.stderr)


if __name__ == "__main__":
    main()
