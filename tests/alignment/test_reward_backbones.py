"""Reward models on masked backbones, which read both ways, beside causal ones."""

from itertools import product

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
)

from alignment.models.policies import Policy
from alignment.reward import RewardModel
from alignment.reward.model import pooled, reads_both_ways
from alignment.sampling.sampling import sample
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.records import Message
from tests.alignment.conftest import WORDS, tiny_policy
from tests.alignment.rewarding import a_pair, a_prompt, run
from tests.cases import cases

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 32, "vocab_size": 20, "initializer_range": 0.3}


def marked_tokenizer(marks=MARKS, longest=32):
    """A word-level tokenizer with the marks of a masked model."""
    words = [*marks, *WORDS, "User", "Assistant", ":"]
    vocabulary = {word: place for place, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        **dict(zip(names, MARKS, strict=True)),
    )


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A tiny BERT's folder, as somebody would bring it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bert")
    BertForMaskedLM(BertConfig(max_position_embeddings=32, **SMALL)).save_pretrained(folder)
    marked_tokenizer().save_pretrained(folder)
    return folder


def opened(folder, **settings):
    """A model whose heads say something untrained."""
    torch.manual_seed(1)
    model = RewardModel.fresh(folder, **settings)
    torch.nn.init.normal_(model.head.weight)
    return model


def test_bert_reads_both_ways_and_gpt_2_does_not(bert):
    assert reads_both_ways(RewardModel.fresh(bert).trunk)
    assert not reads_both_ways(tiny_policy_trunk())


def tiny_policy_trunk():
    policy = tiny_policy()
    return Policy(policy.model.transformer, policy.tokenizer)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_score_does_not_depend_on_its_batch(bert, pooling):
    model = opened(bert, pooling=pooling)
    prompts = [a_prompt("sun day").messages] * 4
    texts = ["good", "bad day night", "a b a b a b good", "b"]
    alone = torch.cat([model.score_texts(prompts[:1], [text]) for text in texts])
    torch.testing.assert_close(model.score_texts(prompts, texts), alone, atol=1e-5, rtol=0)
    assert alone.std() > 0.1


def test_each_way_of_reading_takes_the_state_it_says():
    states = torch.tensor([[[1.0], [3.0], [8.0]], [[2.0], [4.0], [9.0]]])
    lengths = torch.tensor([2, 3])
    real = torch.arange(3) < lengths[:, None]
    found = {
        way: pooled(states, real, lengths, way)[:, 0].tolist() for way in (None, "cls", "mean")
    }
    assert found == {None: [3, 9], "cls": [1, 2], "mean": [2, 5]}


def test_prompt_and_completion_stand_between_marks(bert):
    model = RewardModel.fresh(bert)
    ids, cut = model.read(a_prompt("sun day").messages, "good")
    read = model.trunk.tokenizer.convert_ids_to_tokens(ids)
    assert " ".join(read) == "[CLS] User : sun day Assistant : [SEP] good [SEP]"
    assert not cut


def test_marks_in_a_text_are_text(bert):
    """Also of an encoder, whose prompt and completion stand between marks."""
    model = RewardModel.fresh(bert)
    ids, _ = model.read(a_prompt("sun [SEP] day").messages, "good [CLS] [SEP]")
    marks = model.trunk.tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    assert [token for token in ids if token in marks] == [marks[0], marks[1], marks[1]]


def test_what_is_too_long_keeps_its_marks(bert):
    model = RewardModel.fresh(bert)
    ids, cut = model.read(a_prompt("sun " * 40).messages, "good " * 40)
    assert cut
    assert len(ids) == 32
    read = model.trunk.tokenizer.convert_ids_to_tokens(ids)
    assert [place for place, token in enumerate(read) if token in MARKS] == [0, 8, 31]


@cases("pooling", ["mean", "cls"])
def test_a_rule_is_learned_by_a_masked_backbone(tmp_path, bert, pooling):
    prompts = [" ".join(both) for both in product(WORDS[:6], repeat=2)]
    pairs = [a_pair(prompt, f"{w} good", f"{w} bad {w}") for prompt in prompts for w in "ab"]
    summary = run(tmp_path, pairs, backbone=bert, pooling=pooling, epochs=4)[-1].summary
    assert summary["accuracy"]["value"] > 0.9
    model = RewardModel.load(tmp_path / "output")
    good, bad = model.score_texts([a_prompt("sun day").messages] * 2, ["a good", "a bad a"])
    assert model.pooling == pooling
    assert good > bad + 1


def test_a_policy_s_completions_are_scored_in_their_conversation(bert, policy, generator):
    said = ("user", "sun"), ("assistant", "day"), ("user", "night")
    turns = tuple(Message(role=role, content=content) for role, content in said)
    ids = [policy.prompt_ids(turns)]
    rollouts = sample(policy, ids, completions=3, max_new_tokens=4, generator=generator)
    texts = [policy.text(row) for row in rollouts.completion_ids()]
    model = opened(bert)
    expected = model.score_texts([turns] * 3, texts)
    found = model.knowing(policy, [turns]).score(policy, rollouts)
    torch.testing.assert_close(found, expected)
    assert (model.score(policy, rollouts) - expected).abs().max() > 1e-3  # as one turn


def test_positions_that_a_model_counts_but_cannot_use_are_not_used(tmp_path):
    """RoBERTa's positions begin behind that of its padding."""
    config = RobertaConfig(max_position_embeddings=34, pad_token_id=1, **SMALL)
    RobertaModel(config).save_pretrained(tmp_path)
    marks = [MARKS[1], MARKS[0], *MARKS[2:]]
    marked_tokenizer(marks, longest=32).save_pretrained(tmp_path)
    model = opened(tmp_path)
    prompts = [a_prompt("sun " * 40).messages, a_prompt("sun").messages]
    scores = model.score_texts(prompts, ["good " * 40, "bad"])
    assert model.context_length == 32
    assert scores.isfinite().all()


def test_an_encoder_draws_no_samples_to_be_centred_on(tmp_path, bert):
    pairs = [a_pair(f"{word} a", "good", "bad") for word in WORDS]
    with pytest.raises(ConfigError, match="name a reference"):
        run(tmp_path, pairs, backbone=bert, epochs=1, centring="reference")


def test_an_encoder_with_a_decoder_that_names_no_start_is_refused(tmp_path):
    T5Model(
        T5Config(vocab_size=20, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    ).save_pretrained(tmp_path)
    marked_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(DataError, match="with which token an answer begins"):
        RewardModel.fresh(tmp_path)
