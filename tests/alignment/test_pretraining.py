"""Pretraining on a file, from its bytes to a model that others can use."""

import json
import math
import random

import pytest
import torch
from safetensors.torch import load_file

from alignment.kinds.pretrain.run import pretrain
from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.kinds.spec import RunSpec
from alignment.maths.estimators import ratio_interval
from alignment.models.loading import open_model
from alignment.models.policies import Policy
from alignment.models.trials import sampler
from alignment.pretraining.corpus import CorpusFile, tokenized
from alignment.pretraining.epochs import StepPlan
from alignment.pretraining.packing import Stream
from alignment.pretraining.perplexity import perplexity
from alignment.pretraining.prediction import IGNORED, Objective, label_losses, objective_for
from alignment.pretraining.vocabularies import (
    MASK,
    end_of,
    infilling_marks,
    read_texts,
    span_marks,
    tokenizer_for,
)
from alignment.reward.model import RewardModel, reads_both_ways
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import CheckpointSaved, Finished, Ready, StepDone
from alignment.seam.records import Message
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy
from tests.architectures import saved
from tests.cases import cases

WORDS = ["sun", "moon", "river", "stone", "light", "dark", "green", "bird", "sings", "falls"]
TINY = {
    "source": "file", "document": "line", "layers": 1, "width": 16, "heads": 2, "vocabulary": 300,
    "context": 32, "batch": 8, "epochs": 2, "peak_rate": 0.02, "held_out": 0.2,
}  # fmt: skip
OBJECTIVES = ("clm", "mlm", "infilling", "span_corruption")


def lines(count=60, seed=0):
    chance = random.Random(seed)
    return [
        " ".join(chance.choice(WORDS) for _ in range(chance.randint(3, 12))) for _ in range(count)
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n".join(lines()))
    return path


def spec_of(corpus, inputs=None, resume=None, **config):
    given = {"corpus": str(corpus)} | (inputs or {})
    return RunSpec(
        kind="pretrain",
        run=1,
        epoch=1,
        seed=3,
        config=TINY | config,
        inputs=given,
        resume_from=resume,
    )


def run(folder, corpus, inputs=None, resume=None, **config):
    folder.mkdir(exist_ok=True)
    return list(drive(spec_of(corpus, inputs, resume, **config), folder))


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """The events and the result of each objective."""
    found = {}
    for objective in OBJECTIVES:
        folder = tmp_path_factory.mktemp(objective)
        found[objective] = run(folder, corpus, objective=objective), folder / "output"
    return found


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_model_learns_its_corpus(trained, objective):
    events, _output = trained[objective]
    losses = [event.metrics["loss"] for event in of(events, StepDone)]
    assert losses[-1] < losses[0] - 0.5
    summary = events[-1].summary
    told = summary["perplexity"]
    assert told["low"] < told["value"] < told["high"] < 300
    assert summary["documents"] + summary["documents_heldout"] == 60
    assert told["n"] <= summary["documents_heldout"]
    assert summary["epochs"] == pytest.approx(2)
    assert 0.5 < summary["positions_used"] <= 1
    assert summary["tokens_per_second"] > 0


def test_the_shares_of_hidden_tokens_are_measured(trained):
    summary = trained["mlm"][0][-1].summary
    assert 0.1 < summary["share_chosen"] < 0.2
    assert summary["share_masked"] > 0.6
    parts = [summary[f"share_{name}"] for name in ("masked", "random", "kept")]
    assert sum(parts) == pytest.approx(1)


def test_infilling_also_tells_middles(trained):
    summary = trained["infilling"][0][-1].summary
    assert 1 < summary["perplexity_middles"]["value"] < 300
    assert "perplexity_middles" not in trained["clm"][0][-1].summary


def test_a_causal_model_answers_as_any_policy(trained):
    policy = Policy.load(trained["clm"][1])
    assert policy.context_length == 32
    assert policy.prompt_ids([Message(role="user", content="sun")])
    assert policy.turn_end == policy.tokenizer.eos_token_id


def test_a_masked_model_is_a_backbone_of_reward_models_at_once(trained):
    model = RewardModel.fresh(trained["mlm"][1])
    assert reads_both_ways(model.trunk)
    prompts = [[Message(role="user", content="the sun")]] * 2
    ids, _cut = model.read(prompts[0], "rises over the stone")
    assert ids[0] == ids[-1] == end_of(model.trunk.tokenizer)
    assert model.features(model.read_all(prompts, ["green", "dark bird"])).isfinite().all()


def test_only_the_chosen_tokens_have_a_loss(trained):
    model, tokenizer = open_model(trained["mlm"][1], "masked")
    policy = Policy(model.eval(), tokenizer)
    objective = objective_for(PretrainConfig(**TINY, objective="mlm"), policy)
    end = end_of(tokenizer)
    rows = [torch.tensor([end, *read_texts(tokenizer, [line])[0], end]) for line in lines(12, 1)]
    examples = objective.examples(rows, torch.Generator().manual_seed(0))
    found = label_losses(policy, examples, masked=True)
    told = [int((one.labels != IGNORED).sum()) for one in examples]
    assert [len(losses) for losses in found] == told
    assert sum(told) == objective.counts["chosen"] > 0
    for row, example, losses in zip(rows, examples, found, strict=True):
        chosen = example.labels != IGNORED
        assert torch.equal(example.labels[chosen], row[chosen])
        assert not chosen[[0, -1]].any()
        with torch.no_grad():
            logps = model(input_ids=example.inputs[None]).logits[0].log_softmax(-1)
        told_here = -logps[chosen, row[chosen]]
        torch.testing.assert_close(losses, told_here, atol=1e-5, rtol=1e-5)


def test_the_loss_of_a_row_is_the_model_s_own(trained):
    policy = Policy.load(trained["clm"][1])
    rows = [torch.tensor([0, 5, 6, 7]), torch.tensor([9, 8])]
    examples = objective_for(PretrainConfig(**TINY), policy).examples(rows, torch.Generator())
    with torch.no_grad():
        found = [losses.mean() for losses in label_losses(policy, examples, masked=False)]
        told = [policy.model(input_ids=row[None], labels=row[None]).loss for row in rows]
    torch.testing.assert_close(torch.stack(found), torch.stack(told))


def test_perplexity_counts_every_token_of_a_document_once(trained):
    policy = Policy.load(trained["clm"][1])
    end = end_of(policy.tokenizer)
    ids = torch.tensor([end, *range(10, 80), end, 7, end], dtype=torch.int32)
    held = Stream(ids, torch.tensor([0, 71, 73]))
    found = perplexity(policy, Objective(lambda rows, _g: []), held, 16)
    sums, counts = [], []
    for first, last in ((0, 71), (71, 73)):
        document, total = ids[first : last + 1].long(), 0.0
        for start in range(0, len(document) - 1, 15):
            row = document[start : start + 16]
            with torch.no_grad():
                logps = policy.model(row[None, :-1]).logits[0].log_softmax(-1)
            total -= logps.gather(1, row[1:, None]).sum().item()
        sums.append(total)
        counts.append(last - first)
    assert found.value == pytest.approx(math.exp(sum(sums) / sum(counts)), rel=1e-5)
    assert found.n == 2


@cases("objective", OBJECTIVES)
def test_a_resumed_run_is_the_same_bit_by_bit(trained, corpus, tmp_path, objective):
    events, output = trained[objective]
    course, seen, asked = pretrain(spec_of(corpus, objective=objective), tmp_path), [], None
    while not of(seen, CheckpointSaved):
        seen.append(course.send(asked))
        asked = "save" if len(of(seen, StepDone)) == 3 else None
    course.close()
    again = run(tmp_path, corpus, resume=seen[-1].path, objective=objective)
    (ready,) = of(again, Ready)
    assert (ready.resumed_step, ready.bit_exact) == (3, True)
    steps = [(event.step, event.metrics["loss"]) for event in of(events, StepDone)]
    found = [(event.step, event.metrics["loss"]) for event in of(again, StepDone)]
    assert found == steps[3:]
    one, other = (load_file(place / "model.safetensors") for place in (output, tmp_path / "output"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    kept = {name for name in events[-1].summary if name != "tokens_per_second"}
    assert all(events[-1].summary[name] == again[-1].summary[name] for name in kept)
    assert not list(tmp_path.glob("tokens-*"))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_model_is_trained_on(trained, corpus, tmp_path, objective):
    inputs = {"policy": str(trained[objective][1])}
    new = {"layers": 2, "width": 128, "heads": 4, "vocabulary": 2048}
    events = run(tmp_path / "on", corpus, inputs, model="continued", objective=objective, **new)
    before = trained[objective][0][-1].summary["perplexity"]["value"]
    assert events[-1].summary["perplexity"]["value"] < before
    assert "shape" not in events[-1].summary


def test_a_causal_model_learns_to_infill_with_tokens_that_are_added(trained, corpus, tmp_path):
    inputs = {"policy": str(trained["clm"][1])}
    new = {"layers": 2, "width": 128, "heads": 4, "vocabulary": 2048, "epochs": 1}
    run(tmp_path / "on", corpus, inputs, model="continued", objective="infilling", **new)
    policy, before = Policy.load(tmp_path / "on" / "output"), Policy.load(trained["clm"][1])
    marks = infilling_marks(policy.tokenizer)
    assert marks == tuple(range(len(before.tokenizer), len(before.tokenizer) + 3))
    assert policy.width == len(before.tokenizer) + 3
    read = policy.model.get_input_embeddings().weight
    assert read is policy.model.get_output_embeddings().weight


def test_a_new_model_takes_another_s_tokens(trained, corpus, tmp_path):
    inputs = {"tokenizer": str(trained["clm"][1])}
    run(tmp_path / "new", corpus, inputs, tokenization="taken", vocabulary=2048, objective="mlm")
    one, other = (
        open_model(place, "backbone").tokenizer.get_vocab()
        for place in (trained["clm"][1], tmp_path / "new" / "output")
    )
    assert other == one | {MASK: len(one)}


def test_an_encoder_does_not_learn_to_write_nor_a_writer_to_fill_in(trained, corpus, tmp_path):
    new = {"model": "continued", "layers": 2, "width": 128, "heads": 4, "vocabulary": 2048}
    with pytest.raises(DataError, match="an encoder"):
        run(tmp_path / "a", corpus, {"policy": str(trained["mlm"][1])}, **new)
    with pytest.raises(DataError, match="which writes"):
        run(tmp_path / "b", corpus, {"policy": str(trained["clm"][1])}, objective="mlm", **new)


def test_a_share_so_small_that_nothing_is_chosen_is_refused(corpus, tmp_path):
    with pytest.raises(DataError, match="Nothing of the held-out documents"):
        run(tmp_path / "none", corpus, objective="mlm", chosen_share=1e-12)


def test_a_training_ends_with_the_step_that_reaches_its_tokens(corpus, tmp_path):
    events = run(tmp_path / "few", corpus, most_tokens=300)
    steps, tokens = of(events, StepDone), events[-1].summary["tokens"]
    assert 300 <= tokens < 300 + 8 * 32
    assert of(events, Ready)[0].total_steps == len(steps)


def test_a_training_ends_after_its_minutes(corpus, tmp_path):
    events = run(tmp_path / "short", corpus, most_minutes=1e-9)
    assert len(of(events, StepDone)) == 1
    assert isinstance(events[-1], Finished)


def test_the_learning_rate_rises_and_falls_as_a_cosine(trained):
    rates = [event.metrics["lr"] for event in of(trained["clm"][0], StepDone)]
    peak = max(rates)
    assert peak == pytest.approx(TINY["peak_rate"], rel=0.2)
    falling = rates[rates.index(peak) :]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] < peak / 3


def test_each_row_is_read_once_an_epoch():
    config = PretrainConfig(**TINY)
    rows = torch.tensor([[10 * n, 10 * n + 11] for n in range(20)])
    plan = StepPlan.of(config, rows, 5)
    assert plan.total == 6
    epochs = [[p for step in steps for p in plan.places(step)] for steps in ((1, 2, 3), (4, 5, 6))]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(20))
    assert epochs[0] != epochs[1]


def test_bad_lines_are_refused_by_their_places_or_left_out(tmp_path):
    path = tmp_path / "c.jsonl"
    rows = [json.dumps({"text": line}) for line in lines(30)]
    path.write_text("\n".join([*rows[:10], "{oops", *rows[10:]]))
    with pytest.raises(DataError, match=r"cannot be read, 1 in all \(line 11, column 2: not JSON"):
        run(tmp_path / "a", path, document="paragraph")
    events = run(tmp_path / "b", path, document="paragraph", bad_lines="leave_out", epochs=1)
    assert events[-1].summary["bad_lines"] == 1


def test_equal_documents_are_on_one_side(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("\n".join(lines(20) * 2))
    tokenizer = tokenizer_for(lines(20), 300, "clm", 32)
    corpus = tokenized(CorpusFile(path, PretrainConfig(**TINY)), tokenizer, tmp_path)
    sides = [
        {tuple(stream.document(n).tolist()) for n in range(stream.documents)}
        for stream in (corpus.train, corpus.held)
    ]
    assert corpus.train.documents + corpus.held.documents == 40
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("held_out", [0.001, 0.5])
def test_a_document_at_least_is_on_either_side(tmp_path, held_out):
    path = tmp_path / "c.txt"
    path.write_text("a b\na b day")
    config = PretrainConfig(**TINY | {"held_out": held_out})
    corpus = tokenized(CorpusFile(path, config), tiny_policy().tokenizer, tmp_path)
    assert (corpus.train.documents, corpus.held.documents) == (1, 1)
    assert corpus.held.ids[0] == corpus.held.ids[-1] == end_of(tiny_policy().tokenizer)


def test_one_document_is_refused(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("one line alone")
    with pytest.raises(DataError, match="holds 1 documents"):
        run(tmp_path / "a", path)


def test_what_looks_like_a_control_token_is_text():
    tokenizer = tokenizer_for(lines(), 400, "infilling", 32)
    text = "sun <|end|> moon <|middle|>"
    (ids,) = read_texts(tokenizer, [text])
    assert not set(ids) & {end_of(tokenizer), *infilling_marks(tokenizer)}
    assert tokenizer.decode(ids) == text


def test_a_tokenizer_without_an_end_is_refused():
    policy = tiny_policy()
    policy.tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="no token that ends"):
        end_of(policy.tokenizer)


def test_the_interval_of_a_ratio_covers_as_often_as_it_says():
    generator, hits = torch.Generator().manual_seed(0), 0
    for _ in range(400):
        counts = torch.randint(1, 20, (40,), generator=generator).double()
        sums = counts * 2 + counts.sqrt() * torch.randn(
            40, generator=generator, dtype=torch.float64
        )
        found = ratio_interval(sums.tolist(), counts.tolist())
        hits += found.low <= 2 <= found.high
    assert 0.92 < hits / 400 < 0.98
    assert ratio_interval([3.0], [2]).low is None


def test_the_grammar_makes_new_causal_models_only():
    for name, value in (("objective", "mlm"), ("tokenization", "taken"), ("model", "continued")):
        with pytest.raises(ValueError, match="take a file"):
            PretrainConfig(**{name: value})
    with pytest.raises(ValueError, match="more than 1"):
        PretrainConfig(**TINY, objective="mlm", masked_share=0.9, random_share=0.2)


@cases("family", ["t5", "bart"])
def test_a_new_encoder_decoder_tells_held_out_spans_better_than_before(corpus, tmp_path, family):
    how = {"objective": "span_corruption", "family": family}
    first = run(tmp_path / "first", corpus, **how, most_tokens=1)
    whole = run(tmp_path / "whole", corpus, **how)
    before, after = (events[-1].summary["perplexity"] for events in (first, whole))
    assert after["high"] < before["low"]
    policy = sampler(tmp_path / "whole" / "output")
    assert (policy.context_length, type(policy.model).__name__[:2].lower()) == (32, family[:2])
    assert (
        policy.tokenizer.decode(policy.prompt_ids([Message(role="user", content="sun")])[-1])
        == "<|end|>"
    )
    shape = whole[-1].summary["shape"]
    assert (shape["layers"], shape["parameters"]) == (2, policy.model.num_parameters())
    assert not whole[-1].summary["encoder"]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_foreign_encoder_decoder_goes_on_with_marks_of_its_own(corpus, tmp_path, family):
    tokenizer = tokenizer_for(lines(), 300, "clm", 40)
    start = saved(family, tokenizer, tmp_path / "start")
    inputs = {"policy": str(start)}
    how = {"model": "continued", "objective": "span_corruption", "layers": 2, "width": 128}
    how |= {"heads": 4, "vocabulary": 2048, "epochs": 4}
    events = run(tmp_path / "on", corpus, inputs, **how)
    losses = [event.metrics["loss"] for event in of(events, StepDone)]
    assert losses[-1] < losses[0] - 0.5
    policy = sampler(tmp_path / "on" / "output")
    assert len(span_marks(policy.tokenizer)) == 8
    again = run(tmp_path / "again", corpus, {"policy": str(tmp_path / "on" / "output")}, **how)
    assert again[-1].summary["vocabulary"] == events[-1].summary["vocabulary"]
    assert again[-1].summary["perplexity"]["value"] < events[-1].summary["perplexity"]["value"]
