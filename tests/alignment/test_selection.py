"""Which labels a reward model learns from where it shall not be all."""

import pytest
import torch

from alignment.kinds.reward.settings import RewardConfig
from alignment.reward.model import RewardModel
from alignment.reward.selection import chosen_labels, contrasts
from alignment.seam.records import ThumbRecord
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_pair, a_prompt, run

WORDS = ("day", "night", "sun", "rain")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbone")
    tiny_policy().save(folder)
    return folder


@pytest.fixture(scope="module")
def labels():
    return [a_pair(f"{a} {b}", f"{a} good", f"{b} bad") for a in WORDS for b in WORDS]


def config(selection, chosen=8):
    return RewardConfig(selection=selection, selected=chosen)


@pytest.mark.parametrize("selection", ["random", "k_centre", "d_optimal"])
def test_as_many_are_chosen_as_shall_be_and_the_same_again(backbone, labels, selection):
    found = chosen_labels(backbone, config(selection), labels, 0)
    assert len(found) == 8
    assert found == [label for label in labels if label in found]  # in their order
    assert found == chosen_labels(backbone, config(selection), labels, 0)
    if selection != "d_optimal":  # which leaves nothing to chance
        assert found != chosen_labels(backbone, config(selection), labels, 1)


@pytest.mark.parametrize("selection", ["random", "k_centre", "d_optimal"])
def test_where_there_are_no_more_all_are_chosen(backbone, labels, selection):
    assert chosen_labels(backbone, config(selection, 16), labels, 0) == labels


@pytest.mark.parametrize("selection", ["k_centre", "d_optimal"])
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
