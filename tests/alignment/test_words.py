"""Heads for each word: tags of a toy grammar, and answers to questions about its sentences."""

import json
import random

import pytest
import torch
from sklearn.metrics import f1_score
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

from alignment.classification.words import WORD, WordModel, answer_of, ends_of
from alignment.kinds.classify.results import ClassifyResults
from alignment.kinds.classify.settings import ClassifyConfig
from alignment.kinds.spec import RunSpec
from alignment.rows.classed import ClassedColumns, span_rows, tagged_rows
from alignment.seam.errors import DataError
from alignment.seam.events import CheckpointSaved, Finished, Ready, StepDone
from alignment.seam.records import SpanRecord
from alignment.trainer import drive
from tests.alignment.conftest import sealed, tiny_policy
from tests.alignment.test_classify import an_encoder
from tests.cases import cases

NOUNS, WHEN = ("sun", "rain", "day", "night"), ("now", "please")
QUICK = {"source": "file", "epochs": 20, "batch": 8, "learning_rate": 0.02, "held_out": 0.25}
COLUMNS = {
    "word": {"head": "word", "text_column": "tokens", "class_column": "tags"},
    "span": {
        "head": "span",
        "text_column": "context",
        "class_column": "answer",
        "prompt_column": "question",
    },
}


def a_sentence(coin):
    """The grammar: a noun behind “good” is praised, behind “bad” blamed; a and b are themselves."""
    words, tags = [], []
    for _ in range(coin.randint(1, 3)):
        praise, noun = coin.choice(("good", "bad")), coin.choice(NOUNS)
        words += [praise, noun, coin.choice(WHEN)]
        tags += ["O", "B-praised" if praise == "good" else "B-blamed", "O"]
    return words, tags


def rows_of(head, number=80):
    coin = random.Random(0)
    found = []
    while len(found) < number:
        words, tags = a_sentence(coin)
        if head == "word":
            found.append({"tokens": words, "tags": tags})
        elif tags.count("B-praised") == 1:
            place = tags.index("B-praised")  # the noun may stand elsewhere too
            begins = len(" ".join(words[:place])) + 1
            answer = {"text": [words[place]], "answer_start": [begins]}
            found.append({"context": " ".join(words), "question": "good", "answer": answer})
    return found


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    backbones = tmp_path_factory.mktemp("backbones")
    sealed(tiny_policy(), backbones / "causal")
    an_encoder(backbones / "masked")

    def begin(head, backbone="masked", folder=None, resume=None, wish=None, rows=None, **config):
        folder = folder or tmp_path_factory.mktemp("run")
        (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows or rows_of(head))))
        spec = RunSpec(
            kind="classify", run=1, epoch=1, seed=1, config=QUICK | COLUMNS[head] | config, resume_from=resume,
            inputs={"texts": "rows.jsonl", "backbone": str(backbones / backbone)},
        )  # fmt: skip
        events = []
        for event in drive(spec, folder):
            events.append(event)
            if isinstance(event, StepDone) and event.step == wish:
                (folder / "control.json").write_text('{"stop": "save"}')
        return events, folder

    return begin


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["causal", "masked"])
def test_tags_of_a_toy_grammar_are_learned(start, backbone):
    how = {"epochs": 60, "learning_rate": 0.01} if backbone == "masked" else {}
    events, folder = start("word", backbone, **how)
    summary = of(events, Finished)[0].summary
    ClassifyResults.model_validate(summary)
    assert summary["macro_f1"]["value"] >= 0.95
    assert summary["gain_rulers"]["low"] > 0.05
    assert summary["classes"] == ["B-blamed", "B-praised", "O"]
    one = WordModel.load(folder / "output", "word")
    rows = [one.read(next(tagged_rows(folder / "rows.jsonl", ClassedColumns("tokens", "tags"))))]
    theirs = AutoModelForTokenClassification.from_pretrained(folder / "output").eval()
    logits = theirs(input_ids=torch.tensor([rows[0].ids])).logits[0][rows[0].places]
    torch.testing.assert_close(one.told(rows)[0].float(), logits, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_where_a_question_is_answered_is_learned(start):
    events, folder = start("span", "causal", epochs=40)
    summary = of(events, Finished)[0].summary
    ClassifyResults.model_validate(summary)
    assert summary["token_f1"]["value"] >= 0.95
    assert summary["gain_rulers"]["low"] > 0.2
    one = WordModel.load(folder / "output", "span")
    record = SpanRecord(question="good", text="bad sun now good rain please", start=17, end=21)
    assert answer_of(record, one.told([one.read(record)])[0]) == "rain"


@cases("backbone", ["causal", "masked"])
def test_transformers_finds_the_same_ends_of_answers(start, backbone):
    folder = start("span", backbone, epochs=1)[1]
    one = WordModel.load(folder / "output", "span")
    row = one.read(
        SpanRecord(question="good", text="bad sun now good rain please", start=17, end=21)
    )
    theirs = AutoModelForQuestionAnswering.from_pretrained(folder / "output").eval()
    found = theirs(input_ids=torch.tensor([row.ids]))
    wanted = torch.stack([found.start_logits[0], found.end_logits[0]], 1)[row.places]
    torch.testing.assert_close(one.told([row])[0].float(), wanted, atol=1e-5, rtol=0)


@cases("head", ["word", "span"])
def test_a_saved_run_continues_bit_by_bit(start, head):
    whole, _ = start(head, epochs=2)
    first, folder = start(head, epochs=2, wish=3)
    (saved,) = of(first, CheckpointSaved)
    (folder / "control.json").unlink()
    again, _ = start(head, epochs=2, folder=folder, resume=saved.path)
    assert of(again, Ready)[0].resumed_step == 3
    assert of(again, Finished)[0].summary == of(whole, Finished)[0].summary


@cases("head", ["span", "word"])
def test_held_out_rows_are_looked_at_while_others_teach(start, head):
    events, _ = start(head, epochs=2, evaluate_every=2, kept="best")
    seen = {one.step: one.metrics for one in of(events, StepDone) if "heldout/loss" in one.metrics}
    assert all(step % 2 == 0 for step in seen)
    best = min(seen, key=lambda step: seen[step]["heldout/loss"])
    assert of(events, Finished)[0].summary["best_step"] == best
    assert 0 <= seen[best]["heldout/accuracy"] <= 1


def test_all_rows_may_be_learned_from(start):
    events, _ = start("span", epochs=1, held_out=0)
    summary = of(events, Finished)[0].summary
    assert summary["texts_heldout"] == 0 < summary["texts_train"]
    assert "token_f1" not in summary


def test_long_rows_are_left_out_or_refused(start):
    long = {"tokens": ["good", "sun"] * 40, "tags": ["O", "B-praised"] * 40}
    events, _ = start("word", rows=[*rows_of("word", 20), long], epochs=1)
    assert of(events, Finished)[0].summary["rows"][0]["dropped"] == 1
    with pytest.raises(DataError, match="1 of 21 rows of texts do not fit"):
        start("word", rows=[*rows_of("word", 20), long], overlong="refuse")


def test_macro_f1_of_words_equals_scikit_learns(start):
    events, _ = start("word", epochs=2)
    summary = of(events, Finished)[0].summary
    table = {
        row["said"]: {k: v for k, v in row.items() if k != "said"} for row in summary["confusion"]
    }
    said = [name for name, row in table.items() for count in row.values() for _ in range(count)]
    told = [
        k.removeprefix("told_as_")
        for row in table.values()
        for k, n in row.items()
        for _ in range(n)
    ]
    assert summary["macro_f1"]["value"] == pytest.approx(f1_score(said, told, average="macro"))


def test_rows_of_words_and_spans_are_read_or_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"t": "a b", "g": "X Y"}, {"t": ["a"], "g": ["X", "Y"]}, {"t": 3, "g": []}]
    path.write_text("\n".join(map(json.dumps, rows)))
    good, *bad = tagged_rows(path, ClassedColumns("t", "g"))
    assert (good.words, good.tags) == (("a", "b"), ("X", "Y"))
    assert [one.reason for one in bad] == ["2 tags for 1 words", "“t” is no list of words"]
    squad = {"text": ["sun"], "answer_start": [4]}
    rows = [
        {"c": "sun sun.", "q": "?", "a": squad},
        {"c": "sun", "q": "?", "a": "moon"},
        {"c": "sun", "q": "?"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    good, *bad = span_rows(path, ClassedColumns("c", "a", "q"))
    assert (good.start, good.end, ends_of(good)) == (4, 7, [1, 1])
    assert [one.reason for one in bad] == ["the answer is not in the text", "there is no “a”"]


def test_an_answer_is_the_best_pair_of_ends_in_order():
    record = SpanRecord(question="?", text="one two three", start=0, end=3)
    scores = torch.tensor([[0.0, 9.0], [5.0, 0.0], [1.0, 3.0]])
    assert answer_of(record, scores) == "one"
    assert answer_of(record, scores - torch.tensor([[0.0, 9.0], [0, 0], [0, 0]])) == "two three"
    assert len(WORD.findall(record.text)) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": "span"}, "name the column of the questions"),
        ({"head": "word", "reads": "conversation", "prompt_column": "q"}, "their text alone"),
        ({"head": "word", "overlong": "cut_left"}, "none is cut"),
    ],
)
def test_settings_of_words_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        ClassifyConfig(source="file", **changes)
