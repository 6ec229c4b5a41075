"""Which labels or prompts a run learns from where it shall not be all."""

import pytest
import torch

from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.settings.selection import PromptSelectionSettings
from alignment.kinds.spec import RunSpec
from alignment.reward.model import RewardModel
from alignment.reward.selection import chosen_labels, chosen_prompts, contrasts
from alignment.seam.records import DemonstrationRecord, ThumbRecord, write_jsonl
from alignment.trainer import runner
from tests.alignment.conftest import sealed, tiny_policy
from tests.alignment.rewarding import a_pair, a_prompt, run
from tests.alignment.test_encoder_decoders import marked
from tests.architectures import saved
from tests.cases import cases

WORDS = ("day", "night", "sun", "rain")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return sealed(tiny_policy(), tmp_path_factory.mktemp("backbone") / "whole")


@pytest.fixture(scope="module")
def labels():
    return [a_pair(f"{a} {b}", f"{a} good", f"{b} bad") for a in WORDS for b in WORDS]


def config(selection, chosen=8):
    return RewardConfig(selection=selection, selected=chosen)


@pytest.mark.parametrize("selection", ["random", "k_centre", "d_optimal", "agents"])
def test_as_many_are_chosen_as_shall_be_and_the_same_again(backbone, labels, selection):
    found = chosen_labels(backbone, config(selection), labels, 0)
    assert len(found) == 8
    assert found == [label for label in labels if label in found]  # in their order
    assert found == chosen_labels(backbone, config(selection), labels, 0)
    if selection in ("random", "k_centre"):  # the others leave little to chance
        assert found != chosen_labels(backbone, config(selection), labels, 1)


@pytest.mark.parametrize("selection", ["random", "k_centre", "d_optimal", "agents"])
def test_where_there_are_no_more_all_are_chosen(backbone, labels, selection):
    assert chosen_labels(backbone, config(selection, 16), labels, 0) == labels


@pytest.mark.parametrize("selection", ["k_centre", "d_optimal", "agents"])
def test_copies_are_passed_over(backbone, labels, selection):
    """Eight different labels, one of them a hundred times: each of the eight is learned from."""
    found = chosen_labels(backbone, config(selection), [*labels[:8], *[labels[0]] * 100], 3)
    assert {label.prompt.key for label in found} == {label.prompt.key for label in labels[:8]}


def test_a_preference_tells_the_difference_of_its_texts(backbone, labels):
    model = RewardModel.fresh(backbone)
    pair = labels[1]
    thumb = ThumbRecord(prompt=a_prompt("sun"), completion="day good", good=True)
    found = contrasts(model, [pair, thumb])
    texts = [(pair.prompt, pair.chosen), (pair.prompt, pair.rejected), (thumb.prompt, "day good")]
    ids = [model.read(prompt.messages, text)[0] for prompt, text in texts]
    better, worse, alone = model.features(ids).double()
    torch.testing.assert_close(found, torch.stack([better - worse, alone]))


def test_a_run_learns_from_the_chosen_and_tells_how_many_it_left(tmp_path, labels):
    events = run(tmp_path, labels * 3, epochs=1, selection="d_optimal", selected=10)
    phases = [event.name for event in events if event.type == "phase"]
    assert phases[0] == "choosing labels"
    summary = events[-1].summary
    assert summary["pairs_train"] == 10
    assert summary["labels_passed_over"] + summary["pairs_heldout"] == 48 - 10


def test_an_encoder_decoder_sees_prompts_and_answers_as_well(tmp_path, labels):
    saved("t5", marked(), tmp_path)
    prompts = [label.prompt for label in labels]
    chosen = PromptSelectionSettings(selection="k_centre", selected=4)
    found = chosen_prompts(tmp_path, chosen, [*prompts, *[prompts[0]] * 20], 5)
    assert len({one.key for one in found}) == 4
    assert len(chosen_labels(tmp_path, config("d_optimal"), labels, 0)) == 8


@pytest.mark.parametrize("selection", ["random", "k_centre", "d_optimal", "agents"])
def test_prompts_are_chosen_too_by_what_stands_at_their_ends(backbone, selection):
    asked = [a_prompt(f"{a} {b}") for a in WORDS for b in WORDS]
    chosen = PromptSelectionSettings(selection=selection, selected=4)
    found = chosen_prompts(backbone, chosen, [*asked, *[asked[0]] * 20], 5)
    assert len(found) == 4
    if selection != "random":
        assert len({one.key for one in found}) == 4  # of copies one is enough


ALIGNED = {
    "steps": 1, "prompts_per_step": 3, "completions_per_prompt": 2, "warmup": 0, "max_new_tokens": 2,
    "reward_weight": 0, "more_rules": "1 contains good", "sample_prompts": 0, "reference_completions": 2,
}  # fmt: skip


@cases("kind", ["sft", "prefer", "align", "population"])
def test_whatever_trains_a_policy_learns_from_the_chosen_alone(kind, tmp_path, backbone, labels):
    def summary(**config):
        roles = dict.fromkeys(("policy", "reference"), str(backbone))
        spec = RunSpec(kind=kind, run=1, epoch=1, config=config, inputs=roles | inputs)
        return list(runner(kind)(spec, tmp_path))[-1].summary

    chosen = {"selection": "agents", "selected": 8}
    if kind in ("align", "population"):
        write_jsonl(tmp_path / "rows.jsonl", [label.prompt for label in labels])
        inputs = {"prompts": "rows.jsonl"}
        wide = {"completions_per_prompt": 6} if kind == "population" else {}
        found = summary(**ALIGNED | wide | chosen)
        assert found["prompts_passed_over"] == len(labels) - 8
        return
    rows = (
        labels
        if kind == "prefer"
        else [DemonstrationRecord(prompt=one.prompt, completion=one.chosen) for one in labels]
    )
    write_jsonl(tmp_path / "rows.jsonl", rows)
    role = "pairs" if kind == "prefer" else "demonstrations"
    inputs = {role: "rows.jsonl"}
    found = summary(epochs=1, **chosen)
    assert found[f"{role}_train"] == 8
    assert found["labels_passed_over"] + found[f"{role}_heldout"] == len(labels) - 8
