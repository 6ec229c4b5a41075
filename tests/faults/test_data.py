"""What people give a trainer that it cannot use, or that contradicts itself."""

import pytest

from alignment.__main__ import main
from alignment.kinds.spec import RunSpec
from alignment.reward import RewardModel
from alignment.seam.events import Finished, StepDone, parse_event
from alignment.seam.records import Message, PairRecord, PromptRecord, write_jsonl
from tests.alignment.conftest import tiny_policy

WORDS = ("good sun", "bad rain")
SHORT = {"max_new_tokens": 4, "completions_per_prompt": 2, "reference_completions": 2}


@pytest.fixture
def policy_folder(tmp_path):
    tiny_policy().save(tmp_path / "policy")
    return tmp_path / "policy"


def a_prompt(number, words=2):
    message = Message(role="user", content=" ".join(["day"] * words))
    return PromptRecord(key=f"{number * 0x9E3779B97F4A7C15 % 16**16:016x}", messages=(message,))


def some_pairs(number, *, contradict=False):
    turned = (WORDS, WORDS[::-1]) if contradict else (WORDS,)
    return [
        PairRecord(prompt=a_prompt(place), chosen=chosen, rejected=rejected)
        for place in range(number)
        for chosen, rejected in turned
    ]


@pytest.fixture
def trained(tmp_path, policy_folder):
    """The events of a reward run on these pairs."""

    def train(pairs, **settings):
        write_jsonl(tmp_path / "pairs.jsonl", pairs)
        inputs = {"backbone": "policy", "pairs": "pairs.jsonl"}
        return run(tmp_path, "reward", {"epochs": 1} | settings, inputs)

    return train


def run(folder, kind, config, inputs):
    spec = RunSpec(kind=kind, run=1, epoch=1, threads=1, config=config, inputs=inputs)
    (folder / "config.json").write_text(spec.model_dump_json())
    main(["run", str(folder)])
    return [parse_event(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("number", [0, 1])
def test_an_empty_or_one_label_snapshot_is_refused_before_training(trained, number):
    (failed,) = trained(some_pairs(number))
    assert failed.code == "data"
    assert f"{number} labels" in failed.message
    assert "Label more" in failed.message


def test_contradictory_labels_train_and_are_counted(trained):
    finished = trained(some_pairs(40, contradict=True))[-1]
    assert finished.summary["pairs_contradicted"] == 80
    assert finished.summary["accuracy"]["value"] == 0.5


def test_labels_that_agree_contradict_nothing(trained):
    finished = trained(some_pairs(40))[-1]
    assert isinstance(finished, Finished)
    assert finished.summary["pairs_contradicted"] == 0


def test_a_prompt_longer_than_the_context_is_named_before_training(tmp_path, policy_folder):
    (tmp_path / "reward").mkdir()
    RewardModel.fresh(policy_folder).save(tmp_path / "reward")
    write_jsonl(tmp_path / "prompts.jsonl", [a_prompt(1), a_prompt(2, words=40)])
    inputs = {"policy": "policy", "reference": "policy", "reward": "reward"}
    settings = SHORT | {"steps": 2, "overlong": "refuse"}
    found = run(tmp_path, "align", settings, inputs | {"prompts": "prompts.jsonl"})
    assert found[-1].code == "data"
    assert "“day day" in found[-1].message
    assert not any(isinstance(event, StepDone) for event in found)
