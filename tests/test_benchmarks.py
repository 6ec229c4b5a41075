"""What benchmarks report: ratios with intervals, and arms that learn; and that they leave nothing behind."""

import os
import runpy
import signal
import subprocess
import sys

import psutil
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import demo, quality, web
from benchmarks.intervals import geometric_ratio, ratio_of_medians
from tests.cases import cases
from tests.forks import Fork


def test_a_ratio_of_medians_stands_within_its_interval():
    found = ratio_of_medians([2.0, 2.2, 1.8, 2.1, 9.0], [1.0, 1.1, 0.9, 1.0, 1.0])
    assert found["value"] == pytest.approx(2.1)
    assert 1.9 < found["low"] <= found["value"] <= found["high"] < 9.1


def test_a_geometric_ratio_is_paired():
    found = geometric_ratio([2.0, 0.5, 20.0], [1.0, 0.25, 10.0])
    assert list(found.values()) == pytest.approx([2.0, 2.0, 2.0])


def test_a_hard_target_is_left_out_where_it_is_refused():
    assert quality.allowed("reverse_kl") == ["mild", "strong"]
    assert quality.allowed("le_cam") == ["mild", "strong", "hard"]


@cases("arm", quality.ARMS)
def test_every_arm_comes_nearer_to_a_hard_target(arm):
    run, _ = quality.ARMS[arm]
    assert run(quality.config_of(arm, "squared_hellinger", "hard", 3e-3), 0, 260) < 0.7


def play_a_demo(code):
    """What `benchmarks demo` waits for, with a demo of one line."""
    demo.PLAY = code
    return demo.play(demo.ROOT, 0)


def ask_clients(code):
    """What `benchmarks web` waits for, with clients of one line."""
    command = [sys.executable, "-c", code]
    web._started = lambda _plan: subprocess.Popen(command, stdout=subprocess.PIPE)
    return list(web.acted("", [{"does": "label"}], 1, 1))


@pytest.mark.parametrize("measure", [play_a_demo, ask_clients])
def test_a_benchmark_that_is_ended_leaves_no_program(measure, tmp_path):
    place = tmp_path / "pid"
    os.mkfifo(place)
    code = f"import time; open({str(place)!r}, 'w'); time.sleep(600)"

    def measured():
        runpy.run_module = lambda *_, **__: measure(code)
        sys.argv = ["benchmarks", "demo"]
        benchmarks.main()

    benchmark = Fork(measured)
    with place.open():  # its program is there
        [program] = psutil.Process(benchmark.pid).children()
    os.kill(benchmark.pid, signal.SIGTERM)
    assert benchmark.wait() == 1
    assert not psutil.wait_procs([program], timeout=10)[1]


def test_each_demo_has_a_database_of_its_own(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "sqlite:////ours")
    tell = "print(json.dumps({'seconds': os.environ.get('DATABASE_URL')} | dict.fromkeys(FOUND)))"
    monkeypatch.setattr(demo, "PLAY", f"import json, os; FOUND = {demo.FOUND}; {tell}")
    assert demo.play(demo.ROOT, 0)["steps"] is None
