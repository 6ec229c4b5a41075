"""Classifiers: what they learn from, the run, what it makes, and how it goes on."""

import json
import shutil
from itertools import product

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
)

from alignment.classification.measures import ToldTexts, by_length, rulers, tables
from alignment.classification.model import Classifier
from alignment.classification.texts import (
    ClassedTexts,
    checked,
    in_order,
    judged_texts,
    tallied,
    texts_in,
)
from alignment.kinds.classify.results import ClassifyResults
from alignment.kinds.classify.settings import ClassifyConfig
from alignment.kinds.spec import RunSpec
from alignment.models.policies import Policy
from alignment.rows.classed import alone
from alignment.sampling.sampling import sample
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import CheckpointSaved, Finished, Fitted, Ready, StepDone
from alignment.seam.records import (
    ClassedRecord,
    JudgedRecord,
    Message,
    RankingRecord,
    RatingRecord,
    ThumbRecord,
    TieRecord,
    write_jsonl,
)
from alignment.trainer import drive
from tests.alignment.conftest import sealed, tiny_policy, tiny_tokenizer
from tests.alignment.rewarding import a_pair, a_prompt
from tests.cases import cases

OTHERS = ["day", "night", "sun", "rain", "a", "b"]
QUICK = {"epochs": 6, "batch": 8, "learning_rate": 0.01, "held_out": 0.3}
FILE = QUICK | {"source": "file"}


def texts(number=60):
    """The rule: a text with “good” is fine, one with “bad” is not."""
    rows = list(product(OTHERS, OTHERS))[: number // 2]
    return [
        {"text": f"{one} {word} {other}", "label": name}
        for one, other in rows
        for word, name in (("good", "fine"), ("bad", "not fine"))
    ]


def judged():
    """People flag what says “bad”, and prefer the other."""
    return [
        JudgedRecord(
            labels=(a_pair(f"{one} {other}", f"good {one}", f"bad {other}"),), flags=("harmful",)
        )
        for one, other in product(OTHERS, OTHERS)
    ]


def an_encoder(folder):
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens(
        {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    )
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.model_max_length = 32
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones")
    sealed(tiny_policy(), folder / "causal")
    sealed(tiny_policy(pad_is_end=True), folder / "pad is end")
    return {
        "causal": folder / "causal",
        "pad is end": folder / "pad is end",
        "masked": an_encoder(folder / "masked"),
    }


@pytest.fixture(scope="module")
def start(backbones, tmp_path_factory):
    """The events of a run of this kind, and its folder."""

    def begin(rows, backbone="causal", folder=None, resume=None, wish=None, **config):
        folder = folder or tmp_path_factory.mktemp("run")
        if isinstance(rows[0], JudgedRecord):
            inputs = {"judged": "rows.jsonl"}
            write_jsonl(folder / "rows.jsonl", rows)
        else:
            inputs = {"texts": "rows.jsonl"}
            (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        spec = RunSpec(
            kind="classify", run=1, epoch=1, seed=3, config=config, resume_from=resume,
            inputs=inputs | {"backbone": str(backbones[backbone])},
        )  # fmt: skip
        events = []
        for event in drive(spec, folder):
            events.append(event)
            if wish is not None and isinstance(event, StepDone) and event.step == wish:
                (folder / "control.json").write_text('{"stop": "save"}')
        return events, folder

    return begin


@pytest.fixture(scope="module")
def learned(start):
    return start(texts(), **FILE)


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def summary_of(events):
    return of(events, Finished)[0].summary


def test_a_rule_is_learned_from_a_file(learned):
    summary = summary_of(learned[0])
    assert summary["accuracy"]["value"] > 0.9
    assert summary["macro_f1"]["value"] > 0.9
    assert summary["auc"]["low"] > 0.9
    assert summary["gain_rulers"]["low"] > 0.2
    assert summary["accuracy"]["n"] == summary["texts_heldout"]
    assert all(check["holds"] for check in summary["checks"])
    assert summary["classes"] == ["fine", "not fine"]


def test_what_has_no_rule_is_not_learned(start):
    coin = torch.Generator().manual_seed(0)
    names = torch.randint(2, (60,), generator=coin).tolist()
    rows = [row | {"label": name} for row, name in zip(texts(), names, strict=True)]
    gain = summary_of(start(rows, **FILE | {"epochs": 2})[0])["gain_rulers"]
    assert gain["low"] < 0.1


@cases("backbone", ["causal", "pad is end", "masked"])
@cases("reads", ["answer", "conversation"])
def test_flags_of_people_are_learned_by_any_backbone(start, backbone, reads):
    how = QUICK | {"reads": reads, "flag": "harmful"}
    if backbone == "masked":
        how |= {"epochs": 10}
    events, folder = start(judged(), backbone, **how)
    summary = summary_of(events)
    assert summary["classes"] == ["other", "harmful"]
    assert summary["accuracy"]["value"] > 0.9
    one = Classifier.load(folder / "output")
    asked = [a_prompt("day night").messages] * 2
    chances = one.of_texts(asked, ["good sun", "bad sun"])[:, 1]
    assert chances[0] < 0.5 < chances[1]


@pytest.mark.parametrize("backbone", ["causal", "masked"])
def test_transformers_loads_it_and_tells_the_same(start, learned, backbone):
    folder = (
        learned[1] if backbone == "causal" else start(texts(), backbone, **FILE | {"epochs": 1})[1]
    )
    model = AutoModelForSequenceClassification.from_pretrained(folder / "output").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "output")
    some = ["day good sun", "bad", "night bad rain a b"]
    ours = Classifier.load(folder / "output").of_texts([()] * 3, some)
    for row, text in zip(ours, some, strict=True):
        read = tokenizer(text, add_special_tokens=False)["input_ids"]
        if backbone == "masked":
            read = [tokenizer.cls_token_id, *read, tokenizer.sep_token_id]
        theirs = model(input_ids=torch.tensor([read])).logits.double().softmax(1)[0]
        torch.testing.assert_close(row, theirs, atol=1e-6, rtol=0)
    assert model.config.id2label == {0: "fine", 1: "not fine"}


def test_a_text_and_the_rollout_it_came_from_are_told_alike(start, policy, generator):
    prompt = [Message(role="user", content="sun day")]
    ids = [policy.prompt_ids(prompt)]
    rollouts = sample(policy, ids, completions=16, max_new_tokens=6, generator=generator)
    said = [policy.text(row, ids[0]) for row in rollouts.completion_ids()]
    for reads in ("answer", "conversation"):
        one = Classifier.load(
            start(judged(), **QUICK | {"reads": reads, "epochs": 1})[1] / "output"
        )
        expected = one.of_texts([prompt] * 16, said)
        torch.testing.assert_close(one.of_drawn(policy, rollouts), expected, atol=1e-6, rtol=0)
        known = one.knowing(policy, [prompt])
        torch.testing.assert_close(known.of_drawn(policy, rollouts), expected, atol=1e-6, rtol=0)


LOOKS = {"evaluate_every": 1, "kept": "best"}


def test_it_keeps_the_weights_that_tell_held_out_texts_best(start):
    events, _ = start(texts(), **FILE | LOOKS | {"learning_rate": 0.1, "patience": 3})
    seen = {event.step: event.metrics for event in of(events, StepDone)}
    best = min(seen, key=lambda step: seen[step]["heldout/loss"])
    summary = summary_of(events)
    assert summary["best_step"] == best
    assert seen[best]["heldout/loss"] < seen[1]["heldout/loss"]
    assert summary["accuracy"]["value"] == pytest.approx(seen[best]["heldout/accuracy"])


def test_a_classifier_may_learn_from_all_texts(start):
    events, _ = start(texts(), **FILE | {"epochs": 1, "held_out": 0})
    summary = summary_of(events)
    ClassifyResults.model_validate(summary)
    assert (summary["texts_train"], summary["texts_heldout"]) == (len(texts()), 0)
    assert not {"accuracy", "nll", "gain_rulers", "by_class"} & summary.keys()
    assert [check["holds"] for check in summary["checks"]] == [True]
    with pytest.raises(ValidationError, match="nothing would be held out to look at"):
        ClassifyConfig(**FILE | LOOKS | {"held_out": 0})


@cases("how", [{}, LOOKS])
def test_a_saved_run_continues_bit_by_bit(start, how):
    how = FILE | {"epochs": 2} | how
    whole, there = start(texts(), **how)
    first, folder = start(texts(), wish=2, **how)
    (saved,) = of(first, CheckpointSaved)
    (folder / "control.json").unlink()
    again, _ = start(texts(), folder=folder, resume=saved.path, **how)
    (ready,) = of(again, Ready)
    assert (ready.resumed_step, ready.bit_exact) == (2, True)
    one, other = (load_file(place / "output" / "model.safetensors") for place in (there, folder))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert summary_of(again) == summary_of(whole)


@pytest.mark.slow
def test_low_rank_gradients_learn_too(start):
    events, _ = start(texts(), **FILE | {"gradient": "low_rank", "gradient_rank": 8})
    assert summary_of(events)["accuracy"]["value"] > 0.9


def test_long_texts_are_dropped_or_cut_and_counted(start):
    rows = [*texts(), {"text": "day " * 70 + "good", "label": "fine"}]
    events, _ = start(rows, **FILE | {"epochs": 1})
    (told,) = of(events, Fitted)
    assert (told.read, told.dropped, told.cut) == (61, 1, 0)
    events, _ = start(rows, **FILE | {"epochs": 1, "overlong": "cut_left"})
    (told,) = of(events, Fitted)
    assert (told.dropped, told.cut) == (0, 1)
    with pytest.raises(DataError, match="1 of 61 rows of texts does not fit"):
        start(rows, **FILE | {"overlong": "refuse"})


def test_a_fresh_head_keeps_the_backbones_weights(backbones):
    trunk = Policy.load(backbones["causal"]).model.transformer.state_dict()
    found = Classifier.fresh(backbones["causal"], ["a", "b", "c"], "answer")
    own = found.model.transformer.state_dict()
    assert all(torch.equal(own[name], trunk[name]) for name in trunk)
    assert found.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id2label": {"0": "a"}}, "fewer than two"),
        ({"id2label": {"0": "a", "1": "a"}}, "two of them alike"),
        ({"id2label": ["a", "b"]}, "does not name its classes"),
        ({"problem_type": "regression"}, "one class is needed"),
        ({"architectures": ["GPT2LMHeadModel"]}, "no head for classes"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "code of its own"),
    ],
)
def test_what_is_no_classifier_is_refused_by_name(learned, tmp_path, change, said):
    folder = shutil.copytree(learned[1] / "output", tmp_path / "changed")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(DataError, match=said):
        Classifier.load(folder)


def test_what_it_reads_must_be_known(learned, tmp_path):
    folder = shutil.copytree(learned[1] / "output", tmp_path / "changed")
    (folder / "classifier.json").write_text('{"reads": "tea leaves"}')
    with pytest.raises(DataError, match="does not say what the classifier reads"):
        Classifier.load(folder)
    (folder / "classifier.json").unlink()
    assert Classifier.load(folder).reads == "answer"


def test_texts_that_are_not_given_are_refused(start, backbones):
    with pytest.raises(ConfigError, match="need judged"):
        start(texts(), source="people")


def test_a_policy_is_no_classifier_and_a_classifier_no_policy(learned, backbones):
    with pytest.raises(DataError, match="no head for classes"):
        Classifier.load(backbones["causal"])
    with pytest.raises(DataError, match="no head that writes"):
        Policy.load(learned[1] / "output")


# What is learned from


def votes(records, **config):
    found = judged_texts(records, ClassifyConfig(**config))
    return {row.completion: row.votes for row in found.rows}


def record(label, *flags, asked=True):
    return JudgedRecord(labels=(label,), flags=flags, asked=asked)


def test_a_flag_is_about_what_was_not_preferred_or_about_all():
    prompt = a_prompt("sun")
    records = [
        record(a_pair("sun", "x", "y"), "harmful"),
        record(a_pair("sun", "y", "z"), "false"),
        record(TieRecord(prompt=prompt, left="p", right="q"), "harmful"),
        record(
            RankingRecord(prompt=prompt, completions=("1", "2", "3"), ranks=(1, 0, 2)), "harmful"
        ),
        record(ThumbRecord(prompt=prompt, completion="t", good=True), "harmful"),
        record(a_pair("sun", "b", "c"), "harmful", asked=False),
    ]
    h, o = {"harmful": 1}, {"other": 1}
    wanted = {
        "x": o,
        "y": {"harmful": 1, "other": 1},
        "z": o,
        "p": h,
        "q": h,
        "1": h,
        "2": o,
        "3": h,
        "t": h,
    }
    assert votes(records, flag="harmful") == wanted
    both = votes(records, flag="harmful", flagged="both")
    assert (both["x"], both["2"], both["z"]) == (h, h, o)
    assert votes(records)["z"] == {"flagged": 1}


def test_verdicts_say_what_is_good_and_what_bad():
    prompt = a_prompt("sun")
    records = [
        record(a_pair("sun", "x", "y")),
        record(TieRecord(prompt=prompt, left="p", right="q", both_bad=True)),
        record(TieRecord(prompt=prompt, left="r", right="s")),
        record(RankingRecord(prompt=prompt, completions=("1", "2", "3"), ranks=(1, 0, 2))),
        record(RankingRecord(prompt=prompt, completions=("4", "5"), ranks=(0, 0))),
        record(ThumbRecord(prompt=prompt, completion="t", good=True)),
        *[record(RatingRecord(prompt=prompt, completion=f"r{n}", rating=n)) for n in (2, 3, 4)],
    ]
    good, bad = {"good": 1}, {"bad": 1}
    assert votes(records, meaning="verdicts") == {
        "x": good, "y": bad, "p": bad, "q": bad, "2": good, "3": bad, "t": good, "r2": bad, "r4": good,
    }  # fmt: skip


def test_a_disputed_text_has_the_shares_of_its_votes():
    prompt = a_prompt("sun")
    rows = tallied([(prompt, "x", "a"), (prompt, "x", "b"), (prompt, "x", "b"), (prompt, "y", "a")])
    found = ClassedTexts(rows, ("a", "b"))
    assert [found.shares(row) for row in rows] == [[1 / 3, 2 / 3], [1.0, 0.0]]
    assert found.disputed == 1


def test_classes_stand_in_an_order_that_people_know():
    assert in_order(["b", "10", "2", "a"]) == ("2", "10", "a", "b")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "b"] * 3, "There are 6 texts with a class"),
        (["a"] * 9, "All 9 texts are of the class “a”"),
        ([f"c{n}" for n in range(201)], "201 different classes, the first of them “c0”"),
    ],
)
def test_texts_that_teach_nothing_are_refused(names, said):
    rows = tallied((alone(str(n)), str(n), name) for n, name in enumerate(names))
    with pytest.raises(DataError, match=said):
        checked(ClassedTexts(rows, in_order(set(names))))


def test_bad_rows_are_refused_or_left_out_and_counted(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nx,a\n,b\ny,b\n")
    with pytest.raises(DataError, match=r"1 in all \(line 3, column text: there is no “text”\)"):
        texts_in(path, ClassifyConfig(source="file"))
    found = texts_in(path, ClassifyConfig(source="file", bad_lines="leave_out"))
    assert (len(found.rows), found.bad_lines) == (2, 1)


# How well it is told


def told(said, chances, classes):
    rows = [
        ClassedRecord(prompt=alone(str(n)), completion="x", votes={"a": 1})
        for n in range(len(said))
    ]
    shares = torch.eye(len(classes), dtype=torch.float64)[torch.tensor(said)]
    return ToldTexts(rows, shares, torch.tensor(chances, dtype=torch.float64), classes)


def test_tables_tell_each_class_and_what_it_was_taken_for():
    found = told(
        [0, 0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]], "abc"
    )
    both = tables(found)
    assert both["by_class"][1] == {
        "class": "b", "texts": 1, "precision": pytest.approx(1 / 3), "recall": 1.0, "f1": pytest.approx(0.5),
    }  # fmt: skip
    assert both["confusion"][0] == {"said": "a", "told_as_a": 1, "told_as_b": 1, "told_as_c": 0}
    assert both["by_class"][2]["precision"] is None


def test_rare_classes_of_many_stand_together():
    names = [f"c{n:02}" for n in range(20)]
    said = [n for n in range(20) for _ in range(20 - n)]
    found = told(said, torch.eye(20)[torch.tensor(said)].tolist(), names)
    rows = tables(found)["confusion"]
    assert (len(rows), len(rows[0])) == (13, 14)
    assert rows[-1]["told_as_others"] == sum(range(1, 9))
    assert sum(sum(list(row.values())[1:]) for row in rows) == len(said)


def test_a_ruler_by_length_tells_what_length_alone_says():
    def text(length):
        return ClassedRecord(prompt=alone("p"), completion="x" * length, votes={"a": 1})

    fitted = [text(n) for n in range(1, 101)]
    said = torch.tensor([int(n > 50) for n in range(1, 101)])
    assert by_length(fitted, said, [text(3), text(200)]).tolist() == [0, 1]
    found = told([1, 1], [[0.1, 0.9]] * 2, "ab")
    shares = torch.eye(2, dtype=torch.float64)[torch.cat([said[:40], said[:40]])]
    beside = rulers(found, fitted[:80], shares)
    assert (beside["accuracy_majority"]["value"], beside["gain_rulers"]["value"]) == (0, 1)
