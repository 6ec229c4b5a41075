"""Every kind of label through a whole reward run."""

import itertools
import json
import math

import pytest
import torch
from scipy.stats import spearmanr

from alignment.command_line import trl_rows
from alignment.command_line.trl_rows import Told
from alignment.kinds.reward.settings import RewardConfig
from alignment.reward import RewardModel
from alignment.reward.examples import Example
from alignment.reward.labels import learnable, ranked
from alignment.reward.observation import Observation
from alignment.seam.errors import DataError
from alignment.seam.records import RankingRecord, RatingRecord, ThumbRecord, TieRecord, read_labels
from tests.alignment.rewarding import a_pair, a_prompt, run
from tests.cases import cases
from tests.words import WORDS

PROMPTS = [" ".join(both) for both in itertools.product(WORDS[:6], repeat=2)]
WORTH = dict(zip(WORDS, torch.linspace(-2, 2, len(WORDS)).tolist(), strict=True))


def draws(seed):
    return torch.Generator().manual_seed(seed)


def drawn(values, generator):
    return values[int(torch.randint(len(values), (1,), generator=generator))]


def two(generator):
    """A prompt and two different words as its answers."""
    one, other = torch.randperm(len(WORDS), generator=generator)[:2].tolist()
    return drawn(PROMPTS, generator), WORDS[one], WORDS[other]


def by_davidson(count, nu, seed=0):
    """Labels drawn from Davidson's model."""
    generator = draws(seed)
    for _ in range(count):
        prompt, left, right = two(generator)
        margin = (WORTH[left] - WORTH[right]) / 2
        chances = torch.tensor([margin, -margin]).exp()
        weights = torch.cat([chances, torch.tensor([nu])])
        match int(torch.multinomial(weights, 1, generator=generator)):
            case 0:
                yield a_pair(prompt, left, right, left_won=True)
            case 1:
                yield a_pair(prompt, right, left, left_won=False)
            case 2:
                yield TieRecord(prompt=a_prompt(prompt), left=left, right=right)


def learned(folder):
    """Raw rewards of all words, centred."""
    model = RewardModel.load(folder / "output")
    messages = [a_prompt("sun day").messages] * len(WORDS)
    scores = model.score_texts(messages, WORDS) * model.scale
    return scores - scores.mean()


def error(folder):
    """Mean squared distance between learned and true rewards."""
    return (learned(folder) - torch.tensor(list(WORTH.values()))).square().mean().item()


QUICK = {"epochs": 6, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def with_ties():
    """Labels of which most are ties."""
    return list(by_davidson(400, nu=4.0))


@pytest.fixture(scope="module")
def without(with_ties, tmp_path_factory):
    """How far the rewards are off that were learned from the preferences alone."""
    folder = tmp_path_factory.mktemp("without")
    assert "ties_train" not in run(folder, with_ties, ties="drop", **QUICK)[-1].summary
    return error(folder)


@pytest.mark.slow
@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
def test_ties_improve_on_leaving_them_out(tmp_path, with_ties, without, ties):
    summary = run(tmp_path, with_ties, ties=ties, **QUICK)[-1].summary
    assert summary["ties_train"] > 100
    assert error(tmp_path) < 0.6 * without


@cases(("strength", "winner"), [("ignore", "bad"), ("weigh", "good")], quick=[("weigh", "good")])
def test_a_much_better_outweighs_two_slightly_better(tmp_path, strength, winner):
    strong = [a_pair(prompt, "good", "bad", strength=3) for prompt in PROMPTS]
    weak = [a_pair(prompt, "bad", "good", strength=1) for prompt in PROMPTS] * 2
    run(tmp_path, strong + weak, strength=strength, **QUICK)
    rewards = dict(zip(WORDS, learned(tmp_path).tolist(), strict=True))
    assert max(("good", "bad"), key=rewards.get) == winner


SCALES = [0.05, 0.3, 0.7, 1.2, 2.0, 3.5]


def by_annotators(each, seed=0):
    """Labels of six people, from blind to sharp; the fourth likes what stands left."""
    generator = draws(seed)
    for number, scale in enumerate(SCALES):
        for _ in range(each):
            prompt, left, right = two(generator)
            margin = scale * (WORTH[left] - WORTH[right]) + 2.0 * (number == 3)
            won = torch.rand((), generator=generator) < torch.sigmoid(torch.tensor(margin))
            texts = (left, right) if won else (right, left)
            yield a_pair(prompt, *texts, left_won=bool(won), annotator=f"a{number}")


@pytest.mark.slow
def test_annotators_are_ranked_as_they_are(tmp_path):
    summary = run(tmp_path, by_annotators(80), annotators="reliability", **QUICK)[-1].summary
    rows = summary["annotators"]
    assert [row["annotator"] for row in rows] == [f"a{number}" for number in range(6)]
    assert spearmanr([row["scale"] for row in rows], SCALES).statistic >= 0.9
    assert max(rows, key=lambda row: row["left"])["annotator"] == "a3"
    assert sum(row["labels"] for row in rows) == summary["pairs_train"]


@pytest.mark.parametrize(("ties", "outcomes"), [("drop", 2), ("davidson", 3)])
def test_a_label_of_an_annotator_by_hand(ties, outcomes):
    """A margin of 1 seen twice as sharply, the chosen one on the side that is liked less."""
    label = a_pair("sun", "good", "bad", left_won=False, annotator="a")
    observation = Observation(RewardConfig(annotators="reliability", ties=ties), [label])
    for name, value in (("log_scales", math.log(2)), ("sides", 0.5), ("lapse_logits", 0.0)):
        getattr(observation, name).data.fill_(value)
    example = Example(label, ([1], [2]))
    (loss,) = observation.nll(torch.tensor([[1.0], [0.0]]), [example])[0]
    seen = 2 * 1.0 - 0.5
    rest = 0.0 if ties == "drop" else math.exp(-seen / 2)  # of a tie, as nu is 1
    chance = 1 / (1 + math.exp(-seen) + rest)
    assert loss.neg().exp().item() == pytest.approx(chance / 2 + 1 / 2 / outcomes)


def test_nothing_is_said_of_annotators_whose_differences_are_ignored(tmp_path):
    assert "annotators" not in run(tmp_path, by_annotators(20), epochs=1)[-1].summary


def rankings(count):
    """Four words each, in the order of their worth."""
    generator = draws(3)
    for _ in range(count):
        places = torch.randperm(len(WORDS), generator=generator)[:4].sort(descending=True).values
        texts = tuple(WORDS[place] for place in places.tolist())
        prompt = a_prompt(drawn(PROMPTS, generator))
        yield RankingRecord(prompt=prompt, completions=texts, ranks=(0, 1, 2, 3))


@cases("model", ["plackett_luce", "pairs"])
def test_an_order_is_learned_from_rankings(tmp_path, model):
    summary = run(
        tmp_path, rankings(60), rankings=model, **QUICK | {"epochs": 3, "learning_rate": 6e-3}
    )[-1].summary
    assert summary["pairs_train"] + summary["pairs_heldout"] == 360
    assert summary.get("rankings_train", 0) == (
        0 if model == "pairs" else summary["pairs_train"] / 6
    )
    assert summary["accuracy"]["value"] > 0.9
    assert spearmanr(learned(tmp_path), list(WORTH.values())).statistic > 0.9


def group(*pairs, name="tree"):
    return [a_pair("sun", better, worse, group=name) for better, worse in pairs]


def test_pairs_of_one_ranking_become_it_again():
    pairs = group(("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d"))
    (ranking,) = ranked(pairs)
    assert ranking.completions == ("a", "b", "c", "d")
    assert ranking.ranks == (0, 1, 1, 2)


@pytest.mark.parametrize(
    "pairs",
    [
        group(("a", "b")),  # two are a pair
        group(("a", "b"), ("c", "d")),  # two rankings under one name
        group(("a", "b"), ("b", "c")),  # a and c were not compared
        group(("a", "b"), ("b", "c"), ("c", "a")),  # no order
    ],
)
def test_pairs_that_are_no_ranking_stay_pairs(pairs):
    assert ranked(pairs) == pairs


def test_thumbs_and_ratings_add_to_what_pairs_say(tmp_path):
    generator = draws(1)
    labels = []
    for prompt in PROMPTS * 3:
        word = drawn(WORDS, generator)
        labels.append(ThumbRecord(prompt=a_prompt(prompt), completion=word, good=WORTH[word] > 0))
        word = drawn(WORDS, generator)
        mark = 1 + round(WORTH[word] + 2)
        labels.append(RatingRecord(prompt=a_prompt(prompt), completion=word, rating=mark))
    labels += [a_pair(prompt, "good", "bad") for prompt in PROMPTS]  # against all others
    summary = run(tmp_path, labels, epochs=4, learning_rate=3e-3)[-1].summary
    assert summary["thumbs_train"] > 50
    assert summary["ratings_train"] > 50
    assert summary["pairs_train"] + summary["pairs_heldout"] == len(PROMPTS)
    rewards = learned(tmp_path)
    assert spearmanr(rewards[2:], list(WORTH.values())[2:]).statistic > 0.9
    assert rewards[0] > rewards[1]


def test_labels_of_single_answers_are_enough(tmp_path):
    labels = [
        ThumbRecord(prompt=a_prompt(prompt), completion=word, good=word == "good")
        for prompt in PROMPTS
        for word in ("good", "bad")
    ]
    summary = run(tmp_path, labels, epochs=4)[-1].summary
    assert "accuracy" not in summary
    assert summary["nll_labels"]["value"] < 0.4


def test_what_compares_nothing_is_left_out():
    same = [TieRecord(prompt=a_prompt("sun"), left="a", right="a ")]
    flat = [RankingRecord(prompt=a_prompt("sun"), completions=("a", "b"), ranks=(0, 0))]
    some = [a_pair(prompt, "good", "bad") for prompt in PROMPTS]
    assert learnable(some + same + flat, RewardConfig()) == some


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('"kind": "star", "completion": "a"', "the kind is none of"),
        ('"kind": "rating", "completion": "a", "rating": 6', "a rating of 6 on a scale to 5"),
        ('"kind": "ranking", "completions": ["a", "b"], "ranks": [0]', "one rank for each"),
    ],
)
def test_a_line_that_is_no_label_is_named(tmp_path, line, reason):
    good = a_pair("sun", "a", "b").model_dump_json()
    prompt = a_prompt("sun").model_dump_json()
    path = tmp_path / "labels.jsonl"
    path.write_text(f'{good}\n{{"prompt": {prompt}, {line}}}\n')
    with pytest.raises(DataError, match=f"line 2: .*{reason}"):
        list(read_labels(path))


def test_a_file_of_pairs_needs_no_kind(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text(a_pair("sun", "a", "b").model_dump_json(exclude={"kind", "left_won"}))
    assert list(read_labels(path)) == [a_pair("sun", "a", "b")]


@pytest.mark.parametrize("ties", ["drop", "davidson", "rao_kupper"])
def test_a_share_of_wrong_labels_mixes_both_ways_around(ties):
    """And leaves a tie as it is."""
    labels = [a_pair("sun", "a", "b"), TieRecord(prompt=a_prompt("sun"), left="a", right="b")]
    labels = labels[: 1 if ties == "drop" else 2]
    examples = [Example(label, ([1], [2])) for label in labels]

    def nll(scores, flipped=0.0):
        observation = Observation(RewardConfig(ties=ties, flipped=flipped), labels)
        return observation.nll(torch.tensor(scores * len(labels))[:, None], examples)[:, 0]

    right, wrong = nll([1.5, 0.25]), nll([0.25, 1.5])
    torch.testing.assert_close(nll([1.5, 0.25], 0.2), 0.8 * right + 0.2 * wrong)
    torch.testing.assert_close(right[1:], wrong[1:])


def test_a_margin_is_what_the_preferred_answer_should_be_ahead_by():
    labels = [a_pair("sun", "a", "b", margin=0.75), a_pair("sun", "a", "b")]
    examples = [Example(label, ([1], [2])) for label in labels]

    def nll(first, **settings):
        observation = Observation(RewardConfig(**settings), labels)
        return observation.nll(torch.tensor([first, 0.0, 1.0, 0.0])[:, None], examples)[:, 0]

    torch.testing.assert_close(nll(1.75)[0], nll(1.75)[1])
    assert nll(1.0)[0] > nll(1.0)[1]
    ignored = nll(1.0, margins="ignore")
    assert ignored[0] == ignored[1]


def test_a_file_says_margins_and_what_its_pairs_are_about(tmp_path):
    rows = tmp_path / "rows.jsonl"
    row = {"prompt": "sun", "chosen": "a", "rejected": "b"}
    more = ({"margin": 0.5, "subset": "chat"}, {"category": 7}, {"margin": None}, {"margin": "far"})
    rows.write_text("".join(json.dumps(row | one) + "\n" for one in more))
    told = Told(leave_out=True)
    found = list(trl_rows.labels(rows, told))
    assert [(one.margin, one.category) for one in found] == [(0.5, "chat"), (0, "7"), (0, "")]
    assert "“margin”" in told.first
    assert not told.unused
    assert "margin" not in found[1].model_dump_json()  # as before there were any
