import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.processes import shared_out

TESTS = """
import os, warnings, pytest

def test_fine(): print("unsaid")
def test_warns(): warnings.warn("look")
def test_fails():
    print("said")
    assert 1 == 2
def test_ends_its_process(): os._exit(7)
def test_after_the_end(): pass
def test_left_out(): pytest.skip("no such thing")

@pytest.fixture
def broken(): raise ValueError("early")
def test_not_set_up(broken): pass

@pytest.fixture
def later():
    yield
    raise KeyError("late")
def test_not_torn_down(later): pass
"""
SHARED = """
import os, pytest
from pathlib import Path

@pytest.fixture(scope="module", autouse=True)
def made():
    with Path("made").open("a") as file:
        file.write(__name__ + "\\n")
    yield
    with Path("ended").open("a") as file:
        file.write(__name__ + "\\n")

@pytest.mark.parametrize("number", range(5))
def test_of_the_file(number, tmp_path): (tmp_path / "here").mkdir()
"""
PROOFS = """
import os, pytest, time
from pathlib import Path

@pytest.mark.LONG
@pytest.mark.parametrize("number", range(4))
def test_with_another_process(number):
    there = Path("beside", str(os.getpid()))
    there.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 30
    while len(list(there.parent.iterdir())) < 2:
        assert time.monotonic() < end
"""


def item(name, path, *marks, fixtures=()):
    asked = dict.fromkeys(marks, True).get
    return SimpleNamespace(nodeid=name, path=path, fixturenames=fixtures, get_closest_marker=asked)


def test_what_starts_a_browser_or_programs_is_taken_first_and_by_one_process():
    items = [
        item("a1", "a"), item("b1", "b", fixtures=["chromium"]), item("a2", "a"), item("c1", "c", fixtures=["var", "loaded"]),
        item("b2", "b"), item("d1", "d", "slow", fixtures=["chromium"]), item("e1", "e", "prove", fixtures=["loaded"]), item("e2", "e", "prove"),
    ]  # fmt: skip
    taken = [[one.nodeid for one in group] for group in shared_out(items)]
    assert taken == [["b1", "c1"], ["a1", "a2"], ["b2"], ["d1"], ["e1"], ["e2"]]


@pytest.fixture
def run(tmp_path):
    """What pytest says about these files of tests, run in two processes."""

    def run(*options, **files):
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        plain = (
            "-c",
            "/dev/null",
            "--rootdir",
            str(tmp_path),
            "-p",
            "no:django",
            "-p",
            "no:cacheprovider",
        )
        command = [
            sys.executable,
            "-m",
            "pytest",
            *plain,
            "-p",
            "tests.processes",
            "--processes",
            "2",
        ]
        environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "TMPDIR": str(tmp_path)}
        done = subprocess.run(
            [*command, *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return run


def test_everything_is_reported_once_and_a_lost_process_is_replaced(run):
    status, said = run(one=TESTS, two=TESTS)

    assert status == pytest.ExitCode.TESTS_FAILED
    assert "4 failed, 8 passed, 2 skipped, 2 warnings, 4 errors" in said
    assert said.count("The process of this test ended (status 7).") == 2
    assert said.count("Captured stdout call") == 2
    assert "unsaid" not in said


@pytest.mark.slow
def test_a_file_s_tests_share_a_process(run, tmp_path):
    names = [f"number_{number}" for number in range(6)]

    status, said = run(**dict.fromkeys(names, SHARED))

    assert status == 0, said
    assert "30 passed" in said
    for place in ("made", "ended"):
        assert sorted((tmp_path / place).read_text().split()) == sorted(
            f"test_{name}" for name in names
        )


@pytest.mark.slow
def test_proofs_of_one_file_are_shared_out(run):
    status, said = run(one=PROOFS.replace("LONG", "prove"))  # for it is no proof of ours

    assert status == 0, said
    assert "4 passed" in said


@pytest.mark.slow
def test_the_first_failure_stops_them_all(run):
    status, said = run("-x", one=TESTS, two=TESTS)

    assert status == pytest.ExitCode.TESTS_FAILED
    assert "stopping after 1 failures" in said
    assert "1 failed" in said
