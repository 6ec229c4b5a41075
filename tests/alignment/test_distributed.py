"""Two real processes compute what one does, on the same rows."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alignment.__main__ import run
from alignment.classification.model import Classifier
from alignment.kinds.spec import RunSpec
from alignment.models.distributed import shard
from alignment.models.policies import Policy
from alignment.seam.events import Finished, Ready, StepDone, parse_event
from alignment.seam.folders import verify
from alignment.seam.records import (
    DemonstrationRecord,
    JudgedRecord,
    ThumbRecord,
    write_jsonl,
)
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_pair

pytestmark = pytest.mark.prove
ROOT = Path(__file__).parents[2]
WORDS = ["day", "night", "sun", "rain"]
PAIRS = [a_pair(" ".join(pick), f"{pick[0]} good", "bad") for pick in product(WORDS, repeat=2)]
LIKED = [(p.prompt, p.chosen if n % 3 else p.rejected, bool(n % 3)) for n, p in enumerate(PAIRS)]
ROWS = {
    "pairs": PAIRS,
    "demonstrations": [DemonstrationRecord(prompt=p, completion=c) for p, c, _ in LIKED],
    "thumbs": [ThumbRecord(prompt=p, completion=c, good=good) for p, c, good in LIKED],
    "prompts": [pair.prompt for pair in PAIRS],
    "judged": [JudgedRecord(labels=(pair,)) for pair in PAIRS],
}
SMALL = {"learning_rate": 1e-2, "epochs": 1, "held_out": 0.3}
LOW_RANK = {"gradient": "low_rank", "gradient_rank": 6, "error_feedback": True}
WITHOUT_EPOCHS = ("align", "population", "pretrain")
DRAWN = {
    "steps": 4,
    "prompts_per_step": 3,
    "completions_per_prompt": 4,
    "reference_completions": 3,
    "max_new_tokens": 5,
    "learning_rate": 2e-3,
    "beta": 0.3,
    "kl_budget": 999,
    "checkpoint_every": 100,
    "reward_weight": 0,
    "more_rules": "1 contains sun; 1 contains day; 0.5 contains rain",
}
LEARNED = {
    "source": "file",
    "document": "line",
    "model": "continued",
    "objective": "infilling",
    "batch": 3,
    "peak_rate": 1e-2,
}
CLASSES = {"batch": 3, "meaning": "verdicts"}
RUNS = {  # with batches of odd sizes, and last ones of too few rows for two processes
    "imitation": ("sft", "demonstrations", {"batch": 3}),
    "pairs": ("prefer", "pairs", {"batch": 3, "divergence": "jensen_shannon"}),
    "kto": ("prefer", "pairs", {"batch": 3, "loss": "kto"}),
    "thumbs": ("prefer", "thumbs", {"batch": 3, "loss": "kto"}),
    "reward": ("reward", "pairs", {"batch": 3, "heads": 2}),
    "classes": ("classify", "judged", CLASSES),
    "corpus": ("pretrain", "corpus", LEARNED),
    "low-rank": (
        "sft",
        "demonstrations",
        {"batch": 3, "epochs": 4, **LOW_RANK},
    ),  # more than a window
    "low-rank-fdpg": ("align", "prompts", DRAWN | LOW_RANK | {"divergence": "jensen_shannon"}),
    "fdpg": ("align", "prompts", DRAWN | {"divergence": "jensen_shannon"}),
    "replay": ("align", "prompts", DRAWN | {"replay_share": 0.34, "updates_per_step": 2}),
    "ptx": ("align", "prompts", DRAWN | {"objective": "ppo", "demonstration_weight": 0.5}),
    "population": (
        "population",
        "prompts",
        DRAWN
        | {"divergences": ["reverse_kl", "le_cam"], "updates_per_step": 2, "learning_rate": 1e-3},
    ),
    "fsdp-fdpg": ("align", "prompts", DRAWN | {"replay_share": 0.34, "updates_per_step": 2}),
    "fsdp-ppo": ("align", "prompts", DRAWN | {"objective": "ppo", "demonstration_weight": 0.5}),
    "fsdp-imitation": ("sft", "demonstrations", {"batch": 3}),
    "fsdp-reward": ("reward", "pairs", {"batch": 3, "heads": 2}),
    "fsdp-classes": ("classify", "judged", CLASSES),
    "fsdp-corpus": ("pretrain", "corpus", LEARNED),
    "fsdp-kto": ("prefer", "pairs", {"batch": 3, "loss": "kto"}),
}


def events(folder):
    return [parse_event(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]


def steps(folder):
    return [event for event in events(folder) if isinstance(event, StepDone)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Every run computed by one process and by two: folders by the number of processes."""
    top = tmp_path_factory.mktemp("runs")
    tiny_policy().save(top / "policy")
    for name, rows in ROWS.items():
        write_jsonl(top / f"{name}.jsonl", rows)
    lines = [json.dumps(" ".join(pick)) for pick in product(WORDS, repeat=3)]
    (top / "corpus.jsonl").write_text("\n".join(lines))
    found = {}
    for size in (1, 2):
        found[size] = {name: made(top, f"{name}-{size}", *RUNS[name]) for name in RUNS}
    assert [run(folder) for folder in found[1].values()] == [0] * len(RUNS)
    stopped = made(top, "stopped", *RUNS["pairs"])
    (stopped / "control.json").write_text('{"stop": "now"}')
    few = made(top, "few", "align", "prompts", DRAWN | {"prompts_per_step": 1})
    in_two([*found[2].values(), stopped])
    in_two([few], status=3)
    wrong = made(top, "fsdp-wrong", "align", "prompts", DRAWN | {"lora_rank": 2})
    in_two([wrong], status=3)
    return found


@pytest.fixture(scope="module")
def resumed(folders):
    """A run whose model was in parts, taken up from its checkpoint by two processes and by one."""
    top = folders[1]["fdpg"].parent
    saving = DRAWN | {"checkpoint_every": 2}
    in_two([made(top, "fsdp-saved", "align", "prompts", saving)])
    start = {"resume_from": "../fsdp-saved/ckpt-000002"}
    together, alone = (
        made(top, name, "align", "prompts", saving, **start) for name in ("fsdp-resumed", "alone")
    )
    in_two([together])
    assert run(alone) == 0
    return together, alone


def made(top, name, kind, rows, settings, **facts):
    more = ("demonstrations",) if settings.get("demonstration_weight") else ()
    inputs = dict.fromkeys(("policy", "reference", "backbone"), "../policy")
    spec = RunSpec(
        kind=kind,
        run=1,
        epoch=1,
        seed=3,
        threads=1,
        config=settings if kind in WITHOUT_EPOCHS else SMALL | settings,
        inputs=inputs | {name: f"../{name}.jsonl" for name in {rows, *more}},
        **facts,
    )
    (top / name).mkdir()
    (top / name / "config.json").write_text(spec.model_dump_json())
    return top / name


def in_two(folders, status=0):
    """Compute the runs in two processes."""
    ports = free_ports(len(folders))
    tasks = [f"{port}={folder}" for port, folder in zip(ports, folders, strict=True)]
    statuses, _ = two_processes("several", *tasks)
    assert statuses == [status, status]


def free_ports(count):
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def two_processes(module, *arguments, **variables):
    """The statuses of two processes, started as torchrun does, and what they printed."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", **variables}
    command = [sys.executable, "-m", f"tests.alignment.{module}", *arguments]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, env=os.environ | shared | {"RANK": rank}, stdout=subprocess.PIPE
        )
        for rank in ("0", "1")
    ]
    try:
        printed = [process.communicate(timeout=100)[0] for process in started]
        return [process.returncode for process in started], printed
    finally:
        for process in started:
            process.kill()


def is_shared(metric):
    """Not how long it took, nor what each process sees of a gradient that nobody holds whole."""
    return "second" not in metric and not metric.startswith(("gradient/", "optimizer/"))


@pytest.mark.parametrize("name", RUNS)
def test_every_loss_and_metric_is_that_of_one_process(folders, name):
    one, two = (steps(folders[size][name]) for size in (1, 2))
    assert len(one) == len(two) > 2
    # Adam makes rounding errors of the first gradients as large as gradients: 0.1 % behind the first.
    for alone, together in zip(one, two, strict=True):
        loose = {"rel": 1e-5 if alone is one[0] else 1e-3, "abs": 1e-5}
        expected = {k: v for k, v in alone.metrics.items() if is_shared(k)}
        for loss in (key for key in expected if key.split("@")[0] == "loss"):
            assert together.metrics[loss] == pytest.approx(expected[loss], abs=1e-5)
        assert {k: together.metrics[k] for k in expected} == pytest.approx(expected, **loose)
    losses = [event.metrics.get("loss", event.metrics.get("loss@le_cam")) for event in one]
    assert abs(losses[-1] - losses[0]) > 1e-3


@pytest.mark.parametrize("name", RUNS)
def test_the_result_is_that_of_one_process(folders, name):
    if name.endswith("reward"):
        files = (folders[size][name] / "output" / "head.safetensors" for size in (1, 2))
        one, two = (load_file(file) for file in files)
        torch.testing.assert_close(two, one, atol=1e-4, rtol=0)
        return
    if name.endswith("classes"):
        models = [Classifier.load(folders[size][name] / "output") for size in (1, 2)]
        one, two = (model.logits([range(16)]) for model in models)
        torch.testing.assert_close(two, one, atol=1e-4, rtol=0)
        return
    start, agent = folders[1][name].parent / "policy", "le_cam" if name == "population" else ""
    paths = (start, *(folders[size][name] / "output" / agent for size in (1, 2)))
    ids = torch.arange(16)[None]
    before, one, two = (Policy.load(path).model(ids).logits for path in paths)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=0)
    known = before.shape[-1]  # infilling adds tokens
    assert (two[..., :known] - before).abs().max() > 0.1


@pytest.mark.parametrize("name", RUNS)
def test_only_the_first_process_writes(folders, name):
    folder = folders[2][name]
    assert [type(event) for event in events(folder)].count(Ready) == 1
    assert isinstance(events(folder)[-1], Finished)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "events.jsonl",
        "output",
        "tensorboard",
    ]
    assert len(list((folder / "tensorboard").iterdir())) == 1
    assert verify(folder / "output")


def test_a_model_in_parts_is_whole_only_where_it_draws():
    statuses, printed = two_processes("parts", MASTER_PORT=str(free_ports(1)[0]))
    assert statuses == [0, 0]
    assert json.loads(printed[0]) == pytest.approx([0.5, 1, 0.5], abs=0.05)


@pytest.mark.parametrize("place", [0, 1], ids=["together", "alone"])
def test_a_checkpoint_of_a_model_in_parts_continues_in_any_number_of_processes(
    folders, resumed, place
):
    found = [event.step for event in steps(resumed[place])]
    assert found == [3, 4]
    (ready,) = (event for event in events(resumed[place]) if isinstance(event, Ready))
    assert ready.bit_exact is (
        place == 0
    )  # sums of two processes are rounded otherwise than of one
    ids = torch.arange(16)[None]
    paths = (folders[1]["fdpg"] / "output", resumed[place] / "output")
    one, two = (Policy.load(path).model(ids).logits for path in paths)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=0)


def test_a_model_in_parts_goes_back_to_where_it_started(folders):
    top = folders[1]["fdpg"].parent
    budget = made(top, "fsdp-budget", "align", "prompts", DRAWN | {"kl_budget": 1e-9})
    in_two([budget])
    assert events(budget)[-1].summary["stopped_by"] == "kl_budget"
    start, found = (Policy.load(path).model for path in (top / "policy", budget / "output"))
    assert all(map(torch.equal, start.parameters(), found.parameters()))


def test_an_adapter_needs_a_whole_model(folders):
    found = events(folders[2]["fdpg"].parent / "fsdp-wrong")
    assert "unset ATTUNE_SHARDING" in found[-1].message


def test_all_processes_stop_where_the_first_was_asked_to(folders):
    found = events(folders[2]["pairs"].parent / "stopped")
    assert [event.type for event in found] == ["ready", "stopped"]


def test_a_step_needs_a_prompt_for_every_process(folders, tmp_path):
    found = events(folders[2]["fdpg"].parent / "few")
    assert found[-1].message.startswith("Each of the 2 processes needs a prompt of its own")


def test_one_process_has_all_rows():
    assert shard([1, 2, 3]) == ([1, 2, 3], 1.0)
