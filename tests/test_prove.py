"""The long proofs: each belongs to one part, and `make prove` names the parts."""

import re
import subprocess
import sys
from itertools import chain, combinations
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from tests.prove.__main__ import main
from tests.prove.parts import PARTS, PYTEST, commands, part_of

ROOT = Path(__file__).parents[1]
MARKED = "@pytest.mark.prove"
MARKS = chain.from_iterable(combinations(("slow", "once", "twice", "sqlite"), n) for n in range(5))


def proofs():
    """Every file of tests that holds a proof."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path != Path(__file__) and "mark.prove" in path.read_text():
            yield path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", list(proofs()))
def test_a_proof_is_run_by_exactly_one_part(path):
    running = [name for name in PARTS if runs(name, path)]
    assert running == [part_of(path)]


def runs(name, path):
    """Whether a part hands this file to pytest."""
    tests = [one.arguments for one in commands(name) if one.arguments[: len(PYTEST)] == PYTEST]
    for arguments in tests:
        within = any(is_in(path, word) for word in arguments)
        ignored = any(is_in(path, word.removeprefix("--ignore=")) for word in ignores(arguments))
        if within and not ignored:
            return True
    return False


def ignores(arguments):
    return [word for word in arguments if word.startswith("--ignore=")]


def is_in(path, folder):
    return path == folder or path.startswith(f"{folder}/")


def test_a_part_takes_at_most_45_minutes():
    assert max(part.minutes for part in PARTS.values()) <= 45


@pytest.mark.parametrize("marks", [("db", *more) for more in MARKS], ids=" ".join)
def test_what_touches_rows_is_run_on_postgresql_by_make_test_or_by_a_part(marks):
    (here,) = re.findall(r'ON_POSTGRES := .* -m "(.*)"', (ROOT / "Makefile").read_text())
    (part,) = commands("slow_postgresql")
    running = [Expression.compile(words) for words in (here, part.arguments[-1])]
    chosen = [words.evaluate(lambda name, **_: name in marks) for words in running]
    assert sum(chosen) == ("sqlite" not in marks)


def test_what_is_slow_is_run_by_a_part():
    chosen = [
        one.arguments[one.arguments.index("-m", 1 + one.arguments.index("pytest")) + 1]
        for one in commands("slow")
    ]
    assert all(words.startswith("slow and") for words in chosen)


@pytest.mark.parametrize("part", ["slow", "slow_postgresql"])
def test_what_make_test_leaves_out_is_run_on_a_fresh_clone(part):
    assert f"  make prove PART={part} REQUIRE=all" in (ROOT / ".ci/run").read_text().splitlines()


def test_without_a_part_all_are_named(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in PARTS)


def test_an_unknown_part_is_refused_with_those_there_are(capsys):
    assert main(["labels", "nothing"]) == 1
    said = capsys.readouterr().out
    assert "There is no part nothing" in said
    assert "keeper" in said


def test_make_names_the_parts():
    done = subprocess.run(
        [
            "make",
            "-s",
            "-C",
            ROOT,
            "prove",
            f"BIN={Path(sys.executable).parent}",
            "-o",
            "setup-dev",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "keeper" in done.stdout
