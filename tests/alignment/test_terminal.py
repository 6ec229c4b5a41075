"""What nobody may miss is said into a pipe too, and a result nobody should trust is an exit status."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from alignment.__main__ import main
from alignment.command_line.terminal import UNPROVEN, Notes, Pace, display
from alignment.objectives import receipts
from alignment.seam.errors import FULL_DISK
from alignment.seam.events import (
    Checked,
    Finished,
    Fitted,
    PhaseProgressed,
    PhaseStarted,
    StepDone,
    Warned,
    parse_event,
)
from alignment.seam.records import Estimate, Receipts
from tests.alignment.conftest import tiny_policy, tiny_tokenizer
from tests.architectures import saved
from tests.cases import cases

ROOT = Path(__file__).parents[2]
GOOD, BAD = Receipts(gradient=1e-15, total=0.0), Receipts(gradient=1e-15, total=0.0, mismatch=0.12)


def lines(*events):
    notes = Notes()
    return [line for event in events for line in notes.of(event)]


def test_a_run_of_which_nothing_speaks_against_says_nothing():
    step = StepDone(step=1, total=1, metrics={"prompts/skipped": 0.0})
    summary = {"receipts": GOOD.model_dump()}
    assert lines(Checked(receipts=GOOD), step, Finished(summary=summary)) == []


def test_failed_receipts_are_said_at_both_ends():
    first, last = lines(Checked(receipts=BAD), Finished(summary={"receipts": BAD.model_dump()}))
    assert first.startswith("The receipts fail")
    assert last.startswith("Do not trust this result")
    assert "differ by 1e-01" in last


def test_skipped_prompts_and_cut_rows_are_counted():
    fitted = Fitted(role="labels", read=2308, cut=1833, dropped=2, limit="a context of 64 tokens")
    steps = [StepDone(step=n, total=3, metrics={"prompts/skipped": float(n)}) for n in range(3)]
    first, last = lines(fitted, *steps, Finished(summary={}))
    assert "2,308 read, 2 dropped and 1,833 cut" in first
    assert last.startswith("In 2 of 3 steps prompts were skipped, 3 in all")


def test_rows_that_all_fit_are_counted_at_the_end():
    fitted = Fitted(role="pairs", read=24, cut=0, dropped=0, limit="a context of 64 tokens")
    assert lines(Finished(summary={"rows": [fitted.counts]})) == ["pairs: 24 read, all fit."]


def test_texts_that_servers_read_otherwise_are_counted():
    (said,) = lines(Finished(summary={"prompts_with_control_tokens": 1234}))
    assert said.startswith("1,234 prompts hold control tokens")


def test_the_distance_of_the_start_is_said():
    start = Estimate(value=0.731, low=0.701, high=0.761, n=32, unit="nats")
    (said,) = lines(Checked(kl_start=start))
    assert said == "The policy starts 0.73 nats (0.7 to 0.76) from the reference, by 32 prompts."


def progressed(seconds):
    return PhaseProgressed(done=seconds, total=1400, unit="completions", seconds=seconds)


def test_a_long_phase_says_how_far_it_is_every_ten_seconds():
    pace, events = Pace(), [progressed(at / 2) for at in range(30)]
    started = PhaseStarted(name="measuring")
    said = [line for event in (started, *events, started, *events[:19]) for line in pace.of(event)]
    assert said == ["measuring: 10 of 1,400 completions, about 23 min left"]


def test_a_terminal_shows_how_far_a_phase_is(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show = display()
    for event in (PhaseStarted(name="measuring"), progressed(64), Finished(summary={})):
        show(event)
    shown = capsys.readouterr().out
    assert "measuring" in shown
    assert "64 of 1,400 completions" in shown


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    asked = [f"{one} {other}" for one in ("good", "bad") for other in ("sun", "rain", "day", "a")]
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in asked))
    return path


def options(folder, prompts, **given):
    """The words of a command about these prompts whose run is in the folder."""
    given = {"prompts": prompts, "output": folder} | QUICK | given
    pairs = ((f"--{name.replace('_', '-')}", str(value)) for name, value in given.items())
    return [word for pair in pairs for word in pair]


@pytest.fixture
def call(tmp_path, prompts, capsys):
    """The command line, whose output is no terminal: status, stdout, stderr."""

    def run(command, **given):
        status = main([command, *options(tmp_path / "run", prompts, **given)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


QUICK = {"reward_weight": 0, "more_rules": "1 contains sun", "steps": 2, "prompts_per_step": 2}
QUICK |= {"completions_per_prompt": 2, "reference_completions": 2, "max_new_tokens": 4}


@pytest.fixture
def models(tmp_path):
    """Two models that differ, whose distance is said."""
    for name, seed in (("policy", 1), ("reference", 0)):
        tiny_policy(seed=seed).save(tmp_path / name)
    return {name: tmp_path / name for name in ("policy", "reference")}


def test_a_run_from_elsewhere_says_so_into_a_pipe(tmp_path, prompts, models, capfd):
    status = main(["align", *options(tmp_path / "run", prompts, **models)])
    shown = capfd.readouterr()  # of every library too
    assert (status, shown.out) == (0, f"{tmp_path / 'run' / 'output'}\n")
    assert "The policy starts " in shown.err


def test_a_refused_model_is_one_line_with_its_role(call, tmp_path):
    tiny_policy().save(tmp_path / "policy")
    weights = load_file(tmp_path / "policy" / "model.safetensors")
    weights["transformer.wte.weight"] /= 0
    save_file(weights, tmp_path / "policy" / "model.safetensors", metadata={"format": "pt"})
    status, out, err = call("align", policy=tmp_path / "policy")
    assert (status, out) == (3, "")
    said = [line for line in err.splitlines() if line.startswith("data: ")]
    assert said == [
        f"data: {tmp_path / 'policy'} does not hold a reference that can be used: “transformer.wte.weight” holds "
        "what is not a number; the weights are damaged."
    ]
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_a_model_that_keeps_its_state_in_itself_is_refused(call, tmp_path):
    folder = saved("recurrent_gemma", tiny_tokenizer(), tmp_path / "policy")
    status, _, err = call("align", policy=folder)
    assert status == 3
    assert "keeps some of what it has read in itself" in err
    assert "Traceback" not in err


def test_a_result_that_its_receipts_speak_against_is_an_exit_status(call, tmp_path, monkeypatch):
    tiny_policy().save(tmp_path / "policy")
    monkeypatch.setattr(receipts, "COARSE", 1e-9)
    monkeypatch.setattr(receipts, "is_coarse", lambda model: True)
    status, out, err = call("align", policy=tmp_path / "policy")
    assert status == UNPROVEN
    assert "Do not trust this result" in err
    assert out == f"{tmp_path / 'run' / 'output'}\n"


def test_events_and_what_nobody_may_miss_go_into_a_pipe(tmp_path, prompts, models, capfd):
    status = main(["align", *options(tmp_path / "run", prompts, events="-", **models)])
    shown = capfd.readouterr()
    told = [parse_event(line) for line in shown.out.splitlines()]
    kept = (tmp_path / "run" / "events.jsonl").read_bytes().splitlines()
    assert status == 0
    assert [one for one in told if not isinstance(one, Warned)] == [
        parse_event(one) for one in kept
    ]
    assert next(one for one in told if isinstance(one, Warned)).message.startswith(
        "The policy starts "
    )
    assert shown.err.splitlines()[-1] == str(tmp_path / "run" / "output")


def test_a_pipe_that_nobody_reads_any_more_fails_no_run():
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb", buffering=0) as pipe:
        show = display(pipe)
        for step in (1, 2):
            show(StepDone(step=step, total=2, metrics={}))


@pytest.mark.parametrize("given", ["stdout", "987"])
def test_a_pipe_that_is_none_is_refused(call, tmp_path, given):
    status, _, err = call("align", policy=tmp_path, events=given)
    assert (status, err) == (
        3,
        "config: --events is - or the number of a file descriptor that is open.\n",
    )


def test_a_dry_run_says_what_it_took_and_leaves_nothing(tmp_path, prompts, models, capsys):
    status = main(["align", *options(tmp_path / "run", prompts, **models), "--dry-run"])
    shown = capsys.readouterr()
    assert (status, shown.out) == (0, ""), shown.err
    assert re.search(
        r"One step of everything took .* s; the whole would take about \d+ s\.", shown.err
    )
    assert not (tmp_path / "run").exists()
    assert main(["align", "--resume", "--dry-run", "--output", str(tmp_path)]) == 3
    assert "leave --resume out" in capsys.readouterr().err


LOST = "The output could not be written: No space left on device.\n"


@cases(
    ("shell", "status", "said"),
    [
        (">/dev/full", FULL_DISK, LOST),
        (">/dev/full 2>&-", FULL_DISK, ""),
        ("| head -c 0; exit ${PIPESTATUS[0]}", 0, ""),
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
    ],
    quick=[(">/dev/full", FULL_DISK, LOST), (">&-", 0, "")],
)
def test_output_that_is_lost_is_a_failure_and_one_that_nobody_reads_is_none(shell, status, said):
    """Of a command whose output waits until its end."""
    buffered = {name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"}
    command = ["bash", "-c", f"{sys.executable} -m alignment fields adopt {shell}"]
    done = subprocess.run(
        command,
        env=buffered,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.slow
def test_a_run_whose_streams_were_closed_is_computed(policy_folder, prompts, tmp_path):
    words = ["align", *options(tmp_path / "run", prompts, policy=policy_folder)]
    command = shlex.join([sys.executable, "-m", "alignment", *words])
    done = subprocess.run(["bash", "-c", f"{command} <&- >&- 2>&-"], check=False)
    *_, last = map(parse_event, (tmp_path / "run" / "events.jsonl").read_text().splitlines())
    assert (done.returncode, type(last)) == (0, Finished)
