"""A reward from code enters the target as any other reward does, and a row that has none ends the run."""

import json

import pytest
import torch

from alignment.command_line.own_code import store_own_function
from alignment.foreign.code_files import store_function
from alignment.foreign.rewards import confinement_fault
from alignment.kinds.align.run import align
from alignment.kinds.evaluate.run import evaluate
from alignment.kinds.spec import RunSpec
from alignment.reward.code import rows_by_ids
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import CheckpointSaved, Finished, StepDone
from alignment.seam.records import write_jsonl
from alignment.targets.targets import load_target
from tests.alignment.test_loop import SMALL, of, records, weights
from tests.alignment.test_targets import ensured
from tests.cases import cases

SUN = "def score(completions, **columns):\n    return [{} for c in completions]\n"
ALONE = SMALL | {"reward_weight": 0, "kl_budget": 999, "steps": 2, "checkpoint_every": 1}
CODE = {"code_weight": 2.0}


@pytest.fixture
def aligned(policy_folder, tmp_path):
    """The events of a run in a folder of this name, with a function of this source."""

    def run(name, source="", columns=None, resume=None, **settings):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        given = [
            row.model_copy(update={"columns": json.dumps(columns or {"word": "sun"})})
            for row in records(6)
        ]
        write_jsonl(folder / "prompts.jsonl", given)
        inputs = dict.fromkeys(("policy", "reference"), str(policy_folder))
        inputs["prompts"] = "prompts.jsonl"
        if source:
            (folder / "code").mkdir(exist_ok=True)
            (folder / "mine.py").write_text(source)
            store_own_function(folder / "code", f"{folder / 'mine.py'}:score")
            inputs["code"] = "code"
        config = ALONE | settings
        spec = RunSpec(
            kind="align", run=0, epoch=0, config=config, inputs=inputs, resume_from=resume
        )
        return list(align(spec, folder)), folder

    return run


def test_a_function_aligns_as_the_rule_that_says_the_same(aligned):
    ruled, first = aligned(
        "rule", rule="contains", rule_text="sun", rule_weight=2.0, replay_share=0.25
    )
    source = SUN.format("word in c").replace("**columns", "word")
    source = source.replace(
        "word in c for c in completions", "w in c for w, c in zip(word, completions, strict=True)"
    )
    coded, second = aligned("code", source, replay_share=0.25, **CODE)
    same = {"reward/mean", "logz/mean", "loss", "kl/reference"}
    for one, other in zip(of(ruled, StepDone), of(coded, StepDone), strict=True):
        found = {name: other.metrics[name] for name in same & other.metrics.keys()}
        assert found == {name: one.metrics[name] for name in found}
        assert other.metrics["part/reward"] == pytest.approx(other.metrics["reward/mean"] / 2)
    theirs, ours = weights(first / "output"), weights(second / "output")
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    summary = of(coded, Finished)[0].summary
    assert summary["part_reward"]["value"] == pytest.approx(summary["reward"]["value"] / 2)
    assert load_target(second / "output")[0].code_weight == 2.0


def test_a_run_goes_on_with_its_parts_as_if_nothing_had_been(aligned):
    source = SUN.format("{'sun': 'sun' in c, 'size': len(c) / 9}")
    whole, folder = aligned("whole", source, replay_share=0.25, **CODE)
    assert {"part/sun", "part/size"} <= of(whole, StepDone)[0].metrics.keys()
    saved = of(whole, CheckpointSaved)[0].path
    before = weights(folder / "output")
    aligned("whole", source, resume=saved, replay_share=0.25, **CODE)
    after = weights(folder / "output")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_function_that_was_changed_does_not_go_on(aligned):
    _events, folder = aligned("whole", SUN.format("1.0"), **CODE)
    (folder / "mine.py").write_text(SUN.format("2.0"))
    spec = {"policy": "output", "reference": "output", "prompts": "prompts.jsonl", "code": "code"}
    changed = RunSpec(kind="align", run=0, epoch=0, config=ALONE | CODE, inputs=spec)
    with pytest.raises(DataError, match=r"mine\.py is not what it was"):
        list(align(changed, folder))


def test_a_row_that_fails_ends_the_run_with_its_prompt(aligned):
    picky = "def score(completions, prompts):\n    return [0.5 if p != 'day good' else float('nan') for p in prompts]\n"
    with pytest.raises(DataError, match=r"failed on prompt 3 \(“day good”\): it gave NaN"):
        aligned("nan", picky, **CODE)


def test_a_weight_without_code_is_refused(aligned):
    with pytest.raises(ConfigError, match="no reward from code among its inputs"):
        aligned("none", **CODE)


def test_code_of_a_command_line_is_refused_in_a_run_of_the_dashboard(aligned, policy_folder):
    _, folder = aligned("whole", SUN.format("1.0"), steps=1, **CODE)
    inputs = {
        "policy": str(policy_folder),
        "reference": str(policy_folder),
        "prompts": "prompts.jsonl",
    }
    spec = RunSpec(
        kind="align", run=7, epoch=1, config=ALONE | CODE, inputs=inputs | {"code": "code"}
    )
    with pytest.raises(DataError, match="was not registered"):
        list(align(spec, folder))


@pytest.fixture
def registered(policy_folder, tmp_path):
    """The events of a run of the dashboard whose reward is a file of this source."""
    if fault := confinement_fault():
        pytest.skip(f"namespaces: {fault}")

    def run(source):
        store_function(ensured(tmp_path / "code"), source.encode(), "score")
        write_jsonl(tmp_path / "prompts.jsonl", records(6))
        inputs = dict.fromkeys(("policy", "reference"), str(policy_folder))
        inputs |= {"prompts": "prompts.jsonl", "code": "code"}
        config = ALONE | CODE | {"steps": 1, "code_seconds": 1, "code_mebibytes": 256}
        spec = RunSpec(kind="align", run=7, epoch=1, config=config, inputs=inputs)
        return list(align(spec, tmp_path))

    return run


def test_a_registered_function_aligns_apart_from_everything(registered):
    hidden = f"def score(completions):\n    return [float(not os.path.exists({__file__!r})) for _ in completions]\n"
    events = registered(f"import os\n{hidden}")
    assert of(events, StepDone)[0].metrics["part/reward"] == 1.0


@cases(
    ("body", "reason"),
    [
        ("while True: pass", "it did not finish within 1 s"),
        ("bytearray(10 << 30)", "it asked for more than 256 MiB of memory"),
        ("os._exit(9)", "its program ended before it had answered"),
    ],
    quick=[("os._exit(9)", "its program ended before it had answered")],
)
def test_hostile_code_ends_the_run_with_a_sentence(registered, body, reason):
    with pytest.raises(DataError, match=rf"failed on prompt 1 \(“good good”\): {reason}"):
        registered(f"import os\ndef score(completions):\n    {body}\n")


def test_an_evaluation_measures_the_parts_of_what_was_aimed_at(aligned, policy_folder):
    _, folder = aligned("whole", SUN.format("{'sun': 'sun' in c}"), steps=1, **CODE)
    inputs = {"policy": "output", "reference": str(policy_folder), "prompts": "prompts.jsonl"}
    config = {"judge": "none", "max_new_tokens": 6, "completions_per_prompt": 2}
    spec = RunSpec(kind="evaluate", run=0, epoch=0, config=config, inputs=inputs)
    with pytest.raises(ConfigError, match="aimed at a reward from code; name it"):
        list(evaluate(spec, folder))
    named = spec.model_copy(update={"inputs": inputs | {"code": "code"}})
    summary = list(evaluate(named, folder))[-1].summary
    assert {"part_sun_before", "part_sun_after", "reward_gain"} <= summary.keys()


def test_two_prompts_of_the_same_words_cannot_have_other_answers(policy):
    one, other = (
        record.model_copy(update={"columns": json.dumps({"answer": answer})})
        for record, answer in zip(records(1) * 2, "ab", strict=True)
    )
    with pytest.raises(DataError, match=r"Prompts 1 and 2 \(“good good”\) are the same"):
        rows_by_ids([policy], [one, other])
    assert len(rows_by_ids([policy], [one, one])) == 1
