"""The trainer as a program: run folders in, events and outputs out, obedience in between."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, pre_tokenizers

from alignment.__main__ import main, watched
from alignment.command_line.options import COMMANDS, field_lines
from alignment.foreign import watchdog
from alignment.kinds import KINDS
from alignment.kinds.spec import RunSpec
from alignment.models.policies import Policy
from alignment.reward import RewardModel
from alignment.seam.errors import CheckpointError, ConfigError
from alignment.seam.events import (
    CheckpointSaved,
    Failed,
    Finished,
    PhaseStarted,
    Ready,
    SampleDrawn,
    StepDone,
    Stopped,
    parse_event,
)
from alignment.seam.folders import verify
from alignment.seam.records import write_jsonl
from alignment.trainer import drive, runner
from tests.alignment.conftest import sealed, tiny_tokenizer
from tests.alignment.test_loop import SMALL, records, weights
from tests.forks import Fork

ROOT = Path(__file__).parents[2]


@pytest.fixture
def inputs(policy_folder, tmp_path):
    torch.manual_seed(1)
    model = RewardModel.fresh(policy_folder)
    torch.nn.init.normal_(model.head.weight)
    sealed(model, tmp_path / "reward")
    write_jsonl(tmp_path / "prompts.jsonl", records(6))
    roles = {"policy": policy_folder, "reference": policy_folder}
    roles |= {"reward": tmp_path / "reward", "prompts": tmp_path / "prompts.jsonl"}
    return {role: str(path) for role, path in roles.items()}


@pytest.fixture
def run_folder(inputs, tmp_path):
    def make(name="run", *, resume_from=None, **settings):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        spec = RunSpec(
            kind="align",
            run=1,
            epoch=1,
            seed=3,
            threads=1,
            config=SMALL | settings,
            inputs=inputs,
            resume_from=resume_from,
        )
        (folder / "config.json").write_text(spec.model_dump_json())
        return folder

    return make


def events(folder):
    path = folder / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [parse_event(line) for line in lines if line.endswith(b"\n")]


def wait_for(folder, wanted, process):
    deadline = time.monotonic() + 60
    while not any(wanted(event) for event in events(folder)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(folder, wish):
    (folder / "control.json").write_text(json.dumps({"stop": wish}))


def driven(folder):
    return list(drive(RunSpec.load(folder), folder))


def test_a_folder_is_computed_from_end_to_end(run_folder):
    folder = run_folder()
    assert main(["run", str(folder)]) == 0
    found = events(folder)
    assert isinstance(found[0], Ready)
    assert [event.step for event in found if isinstance(event, StepDone)] == [*range(1, 9)]
    assert isinstance(found[-1], Finished)
    assert any(abs(event.reward) > 0.1 for event in found if isinstance(event, SampleDrawn))
    assert verify(folder / "output")
    assert Policy.load(folder / "output").text([10]) == "sun"


@pytest.mark.slow
def test_a_killed_run_continues_bit_by_bit(run_folder):
    whole = run_folder("whole", steps=12, checkpoint_every=2)
    driven(whole)
    killed = run_folder("killed", steps=12, checkpoint_every=2)
    process = Fork(lambda: main(["run", str(killed)]))
    wait_for(killed, lambda e: isinstance(e, CheckpointSaved) and e.step >= 4, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    newest = max(killed.glob("ckpt-*"))
    resumed = run_folder("again", steps=12, checkpoint_every=2, resume_from=str(newest))
    ready = driven(resumed)[0]
    assert ready.resumed_step >= 4
    assert ready.bit_exact
    first, second = weights(whole / "output"), weights(resumed / "output")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_stop_now_ends_without_a_checkpoint(run_folder):
    folder = run_folder()
    ask(folder, "now")
    assert [type(event) for event in driven(folder)] == [Ready, Stopped]
    assert not list(folder.glob("ckpt-*"))


def test_stop_and_save_ends_with_a_checkpoint(run_folder):
    folder = run_folder()
    seen = []
    for event in drive(RunSpec.load(folder), folder):
        seen.append(event)
        if isinstance(event, StepDone) and event.step == 3:
            ask(folder, "save")
    assert isinstance(seen[-2], CheckpointSaved)
    assert seen[-1] == Stopped(step=3, saved=True)
    assert verify(folder / seen[-2].path)


def test_a_stop_that_comes_too_late_leaves_the_run_finished(run_folder):
    folder = run_folder(sample_prompts=0)
    for event in drive(RunSpec.load(folder), folder):
        last = event
        if event == PhaseStarted(name="measuring the result"):
            ask(folder, "save")
    assert isinstance(last, Finished)


def test_a_wrong_setting_is_named(run_folder, capsys):
    folder = run_folder(beta=-1)
    assert main(["run", str(folder)]) == 3
    (failed,) = events(folder)
    assert failed.code == "config"
    assert "beta: Input should be greater than 0" in failed.message
    assert failed.message in capsys.readouterr().err


def test_a_missing_input_is_named(run_folder, inputs):
    del inputs["reward"]
    folder = run_folder()
    with pytest.raises(ConfigError, match="reward"):
        driven(folder)


def test_a_folder_without_config_is_refused(tmp_path):
    assert main(["run", str(tmp_path)]) == 3
    assert events(tmp_path)[0].message == "The run folder has no config.json."


def test_a_line_torn_by_a_crash_spoils_no_other(tmp_path):
    (tmp_path / "events.jsonl").write_bytes(b'{"type": "st')
    main(["run", str(tmp_path)])
    torn, whole = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert torn == b'{"type": "st'
    assert parse_event(whole).code == "config"


def test_an_unreadable_checkpoint_is_not_resumed(run_folder):
    folder = run_folder(resume_from="ckpt-000004")
    (folder / "ckpt-000004").mkdir()
    assert main(["run", str(folder)]) == 3
    assert events(folder)[-1].code == "checkpoint"


def test_a_checkpoint_with_a_changed_byte_is_not_resumed(run_folder):
    folder = run_folder()
    driven(folder)
    path = folder / "ckpt-000004" / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    again = run_folder("again", resume_from=str(path.parent))
    with pytest.raises(CheckpointError, match="does not match its checksum"):
        driven(again)


def stumble(spec, folder):
    yield Ready(total_steps=1, threads=1, device="cpu")
    raise KeyError("a bug")


def test_a_bug_is_reported_as_one(run_folder, monkeypatch, capsys):
    monkeypatch.setitem(
        KINDS, "align", KINDS["align"].model_copy(update={"run": f"{__name__}:stumble"})
    )
    folder = run_folder()
    assert main(["run", str(folder)]) == 1
    assert events(folder)[-1] == Failed(code="bug", message="KeyError: 'a bug'")
    assert "Traceback" in capsys.readouterr().err


class PanicException(BaseException):
    """As pyo3 raises it, which nobody can import."""


def panic(spec, folder):
    yield Ready(total_steps=1, threads=1, device="cpu")
    raise PanicException("Onig: Regex search error: retry-limit-in-match over")


def test_a_tokenizer_that_gives_up_on_a_text_is_no_bug(run_folder, monkeypatch, capsys):
    monkeypatch.setitem(
        KINDS, "align", KINDS["align"].model_copy(update={"run": f"{__name__}:panic"})
    )
    folder = run_folder()
    assert main(["run", str(folder)]) == 3
    assert "gave up, on a text perhaps: Onig" in events(folder)[-1].message
    assert "Traceback" not in capsys.readouterr().err


def held(spec, folder):
    tokenizer = tiny_tokenizer()
    for _ in range(3000):
        tokenizer("good day")
    slow = pre_tokenizers.Split(Regex("(?:a*a*a*a*!b)?"), "isolated")
    tokenizer._tokenizer.pre_tokenizer = pre_tokenizers.Sequence([slow] * 50)
    tokenizer("a" * 150 + "!")
    yield


@pytest.mark.slow
def test_a_tokenizer_that_does_not_end_with_a_text_ends_the_run_with_a_sentence(
    run_folder, monkeypatch, capfd
):
    """In a process of its own, which ends in the middle of a call."""
    monkeypatch.setattr(watchdog, "SECONDS", 1.0)
    monkeypatch.setattr(watchdog, "LOOK", 0.2)
    monkeypatch.setitem(
        KINDS, "align", KINDS["align"].model_copy(update={"run": f"{__name__}:held"})
    )
    folder = run_folder()
    assert Fork(lambda: main(["run", str(folder)])).wait() == 3
    assert "(tokenizer.json) did not finish within 1 s" in capfd.readouterr().err
    assert events(folder)[-1].code == "data"


def test_processes_that_the_system_ends_for_memory_are_told_of(run_folder, monkeypatch, capsys):
    monkeypatch.setattr("alignment.seam.memory_use.room", lambda: 220 << 20)
    folder = run_folder()
    inner = "import os, time; x = b'x' * (200 << 20); time.sleep(1); os.kill(os.getpid(), 9)"
    outer = f"import subprocess, sys; sys.exit(-subprocess.call([sys.executable, '-c', {inner!r}]))"
    assert watched([sys.executable, "-c", outer], folder) == 3
    assert "there are 0.2 GiB, and it held 0.2 GiB" in capsys.readouterr().err
    assert events(folder)[-1].code == "oom"
    assert watched([sys.executable, "-c", "raise SystemExit(7)"], folder) == 7


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_function_and_a_list_of_its_settings(kind):
    assert callable(runner(kind))
    lines = "\n".join(field_lines(kind))
    assert all(f"\n{name} = " in lines for name in KINDS[kind].settings.model_fields)


def test_help_names_every_kind(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert set(COMMANDS) <= set(text.split())


def test_help_does_not_wait_for_torch():
    script = "import sys, alignment.__main__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.split() == [b"False"]


TAKEN_DOWN = """
import atexit, os, runpy, sys

class Library:
    def __del__(self):
        os.abort()  # as a thread may that is met within its own

sys.library = Library()
atexit.register(print, "told of the end")
sys.argv = ["alignment", "fields", "reward"]
runpy.run_module("alignment", run_name="__main__")
"""


def test_a_program_that_is_over_is_not_aborted_by_what_is_taken_down_with_it():
    program = [sys.executable, "-c", TAKEN_DOWN]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "\n".join([*field_lines("reward"), "told of the end", ""])
