"""Answers scored by a reward model, with the features of its heads, and the pairs that would teach it most."""

import json

import pytest
import torch
from safetensors.torch import load_file

from alignment.__main__ import main
from alignment.kinds.score import run as scoring
from alignment.kinds.score.run import score_answers
from alignment.kinds.spec import RunSpec
from alignment.reward.model import RewardModel
from alignment.seam.errors import DataError
from alignment.seam.records import (
    AskedRecord,
    ProposedRecord,
    ScoredRecord,
    StoredRecord,
    read_jsonl,
    write_jsonl,
)
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_prompt

WORDS = ("day", "night", "sun", "rain")
ROWS = [
    StoredRecord(prompt=a_prompt(prompt), completion=word, key=f"{prompt}-{word}")
    for prompt in WORDS
    for word in WORDS[:3]
]


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    """Three heads that nothing was learned by."""
    folder = tmp_path_factory.mktemp("reward")
    for name in ("backbone", "reward"):
        (folder / name).mkdir()
    tiny_policy().save(folder / "backbone")
    torch.manual_seed(0)
    RewardModel.fresh(folder / "backbone", heads=3).save(folder / "reward")
    return folder / "reward"


@pytest.fixture
def score(tmp_path, reward, monkeypatch):
    """Score rows; the events, and what they left."""
    monkeypatch.setattr(scoring, "BATCH", 5)

    def score(rows=ROWS, asked=(), **config):
        write_jsonl(tmp_path / "rows.jsonl", rows)
        write_jsonl(tmp_path / "asked.jsonl", asked)
        inputs = {"completions": "rows.jsonl", "asked": "asked.jsonl", "reward": str(reward)}
        spec = RunSpec(kind="score", run=1, epoch=1, config=config, inputs=inputs)
        return list(score_answers(spec, tmp_path)), tmp_path / "output"

    return score


def read(folder, name, record):
    return list(read_jsonl(folder / f"{name}.jsonl", record))


def test_every_answer_gets_the_score_that_the_model_gives_it(score, reward):
    events, output = score()
    found = read(output, "scores", ScoredRecord)
    assert [(one.key, one.completion) for one in found] == [(r.key, r.completion) for r in ROWS]
    model = RewardModel.load(reward)
    ids = model.read_all([row.prompt.messages for row in ROWS], [row.completion for row in ROWS])
    expected = model.score_ids(ids)
    torch.testing.assert_close(torch.tensor([one.score for one in found]), expected)
    heads = torch.tensor([one.heads for one in found])
    torch.testing.assert_close(heads, model.heads_of(ids))
    features = load_file(output / "features.safetensors")["features"]
    torch.testing.assert_close(features, model.features(ids))
    summary = events[-1].summary
    assert (summary["answers"], summary["heads"], summary["pairs_free"]) == (12, 3, 12)
    assert summary["score"]["value"] == pytest.approx(expected.mean().item(), abs=1e-5)
    assert summary["information_ordered"]["value"] == pytest.approx(summary["information"]["value"])


def test_pairs_are_named_by_the_keys_of_their_answers_and_ordered(score):
    asked = [AskedRecord(prompt=ROWS[0].prompt, completions=("night", "day"))]
    events, output = score(asked=asked, pairs=5)
    pairs = read(output, "pairs", ProposedRecord)
    assert len(pairs) == 11
    assert ("day-day", "day-night") not in {(one.first, one.second) for one in pairs}
    assert sorted(one.by_ensemble for one in pairs if one.by_ensemble is not None) == [*range(5)]
    summary = events[-1].summary
    assert (summary["pairs_asked"], summary["pairs_ordered"]) == (1, 5)
    assert summary["information"]["value"] < summary["information_ordered"]["value"]


def test_scores_alone_are_kept_where_that_is_wished(score):
    events, output = score(
        [row.model_copy(update={"key": ""}) for row in ROWS], pairs=0, keep="scores"
    )
    assert {path.name for path in output.iterdir()} == {
        "MANIFEST.json",
        "scores.jsonl",
        "pairs.jsonl",
    }
    assert [one.key for one in read(output, "scores", ScoredRecord)] == [str(n) for n in range(12)]
    assert (output / "pairs.jsonl").read_text() == ""
    assert "pairs_free" not in events[-1].summary


def test_without_answers_there_is_nothing_to_score(score):
    with pytest.raises(DataError, match="no answers to score"):
        score([])


def test_a_file_of_rows_is_scored_at_a_terminal(tmp_path, reward):
    rows = [
        {"prompt": "sun rain", "completion": text, "by": "me"} for text in ("day", "night", "sun")
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pair = {"prompt": "sun rain", "chosen": "day", "rejected": "sun"}
    (tmp_path / "asked.jsonl").write_text(json.dumps(pair))
    files = {"completions": "rows.jsonl", "asked": "asked.jsonl"}
    given = [part for name, file in files.items() for part in (f"--{name}", str(tmp_path / file))]
    command = ["score", "--reward", str(reward), *given, "--output", str(tmp_path / "run")]
    assert main(command) == 0
    output = tmp_path / "run" / "output"
    assert [one.completion for one in read(output, "scores", ScoredRecord)] == [
        "day",
        "night",
        "sun",
    ]
    pairs = {(one.first, one.second) for one in read(output, "pairs", ProposedRecord)}
    assert pairs == {("0", "1"), ("1", "2")}
