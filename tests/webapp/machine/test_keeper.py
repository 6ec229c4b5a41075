"""Programs that end, by themselves or by somebody, and the keeper that starts them again."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from tests import disks
from tests.webapp.ended import still_running
from webapp.machine import keeper as module
from webapp.machine import programs
from webapp.machine.guard import Log
from webapp.machine.keeper import LOOPS, Keeper, StackError, pause_after

PYTHON = (sys.executable, "-c")
# A program with a child, which says when both are there and ends when it is asked to.
PAIR = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print("up", flush=True)
try:
    child.wait()
finally:
    child.kill()
"""
# A program that, asked to end, ends when another one was asked too; and one that then says who is gone.
MEETS = """
import signal, sys, time
from pathlib import Path
own, other = map(Path, sys.argv[1:])
def end(*_):
    own.touch()
    while not other.exists():
        time.sleep(0.01)
    sys.exit(own.with_suffix(".gone").write_text(""))
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
signal.pause()
"""
LISTS = """
import signal, sys
from pathlib import Path
place = Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(place.write_text(" ".join(p.name for p in place.parent.glob("*.gone")))))
print("up", flush=True)
signal.pause()
"""
GONE = "import sys; print('no', flush=True); sys.exit(7)"


@pytest.fixture
def keeper(var, monkeypatch):
    """One that does not wait long, and is ended whatever the test does."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "TURN", 0.02)
    keeper = Keeper(var)
    yield keeper
    keeper.stop()


@pytest.fixture
def kept(keeper):
    """A keeper with one program of two processes that it keeps."""
    keeper.start("other", *PYTHON, PAIR)
    until(lambda: len(family(keeper, "other")) == 3)
    keeper.keep()
    return keeper


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def family(keeper, name):
    """A program's guard, itself and its children."""
    guard = keeper.kept[name].guard
    if guard is None:
        return []
    try:
        root = psutil.Process(guard.pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def reports(keeper):
    return {row["name"]: row for row in json.loads(keeper.place.read_bytes())}


@pytest.mark.parametrize("victim", [0, 1], ids=["its guard", "itself"])
def test_a_killed_program_is_started_again_and_never_runs_twice(kept, victim):
    before = family(kept, "other")
    before[victim].kill()
    until(lambda: kept.kept["other"].restarts == 1 and len(family(kept, "other")) == 3)
    assert not still_running(before, 10)
    assert reports(kept)["other"]["state"] == "running"
    assert reports(kept)["other"]["restarts"] == 1
    assert reports(kept)["other"]["ended"] == "signal SIGKILL"


def test_a_program_that_ends_takes_no_other_down(kept):
    kept.start("web", *PYTHON, PAIR)
    stays = kept.kept["web"].guard
    family(kept, "other")[1].kill()
    until(lambda: kept.kept["other"].restarts == 1)
    assert stays.poll() is None
    kept.check()


def test_a_program_that_loops_is_named_with_its_log_and_ends_nothing(keeper):
    keeper.start("other", *PYTHON, GONE)
    keeper.keep()
    until(lambda: keeper.kept["other"].loops)
    keeper.check()
    report = reports_when(keeper, lambda rows: rows["other"]["state"] == "looping")["other"]
    assert "exit status 7" in report["ended"]
    assert Path(report["log"]).read_text().count("no") == LOOPS


def reports_when(keeper, condition):
    until(lambda: condition(reports(keeper)))
    return reports(keeper)


def test_only_a_web_that_loops_ends_all(keeper):
    keeper.start("web", *PYTHON, GONE)
    keeper.keep()
    until(keeper._fatal.is_set)
    with pytest.raises(StackError, match=r"web ended 5 times .* exit status 7; see .*web\.log"):
        keeper.check()


def test_a_web_that_a_full_disk_keeps_down_ends_nothing(keeper, monkeypatch):
    full = [True]
    monkeypatch.setattr(module.disk, "is_in_need", lambda: full[0])
    keeper.start("web", *PYTHON, GONE)
    keeper.keep()
    until(lambda: keeper.kept["web"].restarts > LOOPS)
    keeper.check()
    assert "the disk is full" in reports(keeper)["web"]["ended"]
    full[0] = False
    until(keeper._fatal.is_set)


def test_a_first_start_that_fails_is_said_with_its_log(keeper):
    keeper.start("web", *PYTHON, GONE)
    keeper.kept["web"].guard.wait(30)
    with pytest.raises(StackError, match=r"web ended by itself; see .*web\.log"):
        keeper.check()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
def test_a_machine_that_cannot_start_another_process_is_asked_again(kept, monkeypatch, number):
    def refuse(*_args, **_options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as without:
        without.setattr(module.subprocess, "Popen", refuse)
        family(kept, "other")[1].kill()
        until(lambda: "not started" in kept.kept["other"].ended)
    until(lambda: kept.kept["other"].restarts == 1)


def test_the_keeper_outlives_its_own_faults(kept, monkeypatch):
    with monkeypatch.context() as faulty:
        faulty.setattr(kept, "_tell", lambda: 1 / 0)
        family(kept, "other")[1].kill()
        until(lambda: kept.kept["other"].ended)
    until(lambda: kept.kept["other"].restarts == 1)


def test_a_lost_folder_of_logs_is_made_again(kept):
    log = kept.kept["other"].log
    until(
        lambda: log.exists() and "up" in log.read_text()
    )  # it says no more, so nothing is written now
    log.unlink()
    log.parent.rmdir()
    family(kept, "other")[1].kill()
    until(lambda: log.exists() and "up" in log.read_text())


def test_a_log_that_cannot_be_written_stops_nothing(var, keeper):
    (var / "logs").write_text("a file where the folder is to be")
    talks = "import pathlib, sys, time\nfor n in range(10**6):\n  print(n, flush=True)\n  "
    talks += "pathlib.Path(sys.argv[1]).write_text(str(n))\n  time.sleep(0.01)"
    keeper.start("other", *PYTHON, talks, str(var / "said"))
    until(lambda: (var / "said").exists() and (var / "said").read_text() > "3")
    keeper.check()


def test_a_log_on_a_full_disk_says_what_it_lost_when_there_is_room(small_disk):
    log = Log(small_disk / "web.log")
    disks.fill(small_disk)
    log.write(b"lost\n" * 4000)
    disks.empty(small_disk)
    log.write(b"kept\n")
    said = (small_disk / "web.log").read_text()
    assert "bytes could not be logged here]\nkept\n" in said


def test_a_stopped_program_ends_with_the_others(kept, monkeypatch):
    monkeypatch.setattr(module, "STOP_TIMEOUT", 0.5)
    before = family(kept, "other")
    before[1].suspend()
    kept.stop()
    assert not still_running(before, 10)


def test_all_are_asked_to_end_at_once_and_the_last_when_they_are_gone(
    keeper, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "STOP_TIMEOUT", 10)
    one, other, last = (tmp_path / name for name in ("one", "other", "last"))
    keeper.start("one", *PYTHON, MEETS, str(one), str(other))
    keeper.start("last", *PYTHON, LISTS, str(last))
    keeper.start("other", *PYTHON, MEETS, str(other), str(one))
    for kept in keeper.kept.values():
        until(lambda log=kept.log: log.exists() and "up" in log.read_text())
    keeper.stop(last=["last"])
    assert sorted(last.read_text().split()) == ["one.gone", "other.gone"]


def test_whatever_a_stack_started_ends_with_it_however_it_ends():
    script = (
        "import sys, django; django.setup();"
        "from pathlib import Path; from webapp.machine.keeper import Keeper;"
        "keeper = Keeper(Path(sys.argv[1])); keeper.start('other', sys.executable, '-c', sys.argv[2]);"
        "keeper.keep(); print(keeper.kept['other'].guard.pid, flush=True); input()"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "webapp.settings"}
    starter = subprocess.Popen(
        [sys.executable, "-c", script, settings.VAR, PAIR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment | {"ATTUNE_VAR": str(settings.VAR)},
        cwd=settings.BASE_DIR,
    )
    guard = psutil.Process(int(starter.stdout.readline()))
    until(lambda: len(guard.children(recursive=True)) == 2)
    whole = [guard, *guard.children(recursive=True)]
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    assert not still_running(whole, 20)


def test_pauses_grow_and_end_at_a_slow_pace():
    pauses = [pause_after(soon) for soon in range(1, LOOPS + 3)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= 1 < 30 <= pauses[-1] == pauses[LOOPS - 1] <= 120


def test_half_a_word_of_the_keeper_is_not_read(tmp_path, monkeypatch):
    place = tmp_path / "programs.json"
    monkeypatch.setenv(programs.PLACE, str(place))
    assert programs.read() == []
    place.write_text('[{"name": "w')
    assert programs.read() == []


def test_programs_are_told_the_whole_path_of_their_folder(keeper, settings):
    assert Path(keeper.environment["ATTUNE_VAR"]) == Path(settings.VAR)
    assert Path(keeper.environment["ATTUNE_VAR"]).is_absolute()
