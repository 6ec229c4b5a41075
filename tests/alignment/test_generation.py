import pytest

from alignment.config import RunSpec
from alignment.errors import DataError
from alignment.events import StepDone
from alignment.generation import generate
from alignment.records import (
    CompletionRecord,
    Message,
    PromptRecord,
    prompt_key,
    read_jsonl,
    write_jsonl,
)


@pytest.fixture
def prompts():
    messages = [(Message(role="user", content=f"{a} {b}"),) for a in ("sun", "rain") for b in "ab"]
    return [PromptRecord(key=prompt_key(turns), messages=turns) for turns in messages]


@pytest.fixture
def run(policy_folder, prompts, tmp_path):
    write_jsonl(tmp_path / "prompts.jsonl", prompts)

    def started(seed=0, **config):
        inputs = {"policy": str(policy_folder), "prompts": "prompts.jsonl"}
        config = {"max_new_tokens": 8, **config}
        spec = RunSpec(kind="generate", run=1, epoch=1, seed=seed, config=config, inputs=inputs)
        events = list(generate(spec, tmp_path))
        return events, list(read_jsonl(tmp_path / "output/completions.jsonl", CompletionRecord))

    return started


def test_every_prompt_is_answered_in_its_order(run, prompts):
    events, records = run(completions_per_prompt=3)
    assert [r.prompt_key for r in records] == [p.key for p in prompts for _ in range(3)]
    assert events[-1].summary["completions"] == len(records) == 12
    assert isinstance(events[-2], StepDone)


def test_completions_of_a_prompt_differ_where_they_can(run, prompts):
    _, records = run(completions_per_prompt=4)
    for prompt in prompts:
        assert len({r.text for r in records if r.prompt_key == prompt.key}) == 4


def test_a_policy_with_one_answer_repeats_it(run):
    events, records = run(completions_per_prompt=64, max_new_tokens=1)
    assert len(records) == 4 * 64
    assert events[-1].summary["diversity/distinct"] < 0.5


def test_a_cut_completion_says_so(run):
    _, records = run(max_new_tokens=1)
    assert {r.tokens for r in records} == {1}
    assert all(r.truncated == bool(r.text) for r in records if r.text)


def test_the_seed_decides_the_completions(run):
    assert run(seed=1)[1] == run(seed=1)[1] != run(seed=2)[1]


def test_only_as_many_prompts_as_asked_for_are_answered(run):
    assert run(prompts=2)[0][-1].summary["prompts"] == 2


def test_no_prompts_is_refused(run, prompts, tmp_path):
    (tmp_path / "prompts.jsonl").write_text("")
    prompts.clear()
    spec = RunSpec(
        kind="generate",
        run=1,
        epoch=1,
        config={},
        inputs={"policy": ".", "prompts": "prompts.jsonl"},
    )
    with pytest.raises(DataError, match="no prompts"):
        list(generate(spec, tmp_path))
