"""Strings that end a completion: found across tokens and bytes, cut exactly, and the chances still sum to 1."""

import math
from functools import cache

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from alignment.models.policies import Policy
from alignment.models.texts import drawn_texts
from alignment.objectives.toy import random_gpt2
from alignment.sampling.engines import draw_records
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps
from alignment.sampling.stops import StopWatch, cut_at
from alignment.sampling.warps import Warp
from alignment.seam.records import Message, PromptRecord
from tests.alignment.conftest import tiny_policy
from tests.cases import cases

END = "<|end|>"
PIECES = ["a", "b", "Ġa", "Ċ", "ab", "Ã", "©"]  # bytes: a space, a line break, two halves of é


@cache
def lettered(seed=0) -> Policy:
    """A policy over bytes and what they make: a stop string begins and ends anywhere in its tokens."""
    vocabulary = {piece: place for place, piece in enumerate([*PIECES, END])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "a"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, clean_up_tokenization_spaces=False
    )
    return Policy(random_gpt2(fast, vocabulary=8, seed=seed).double(), fast)


def drawn(stops, generator, *, n=800, limit=4, **warp):
    policy = lettered()
    warped = Warp(stops=stops, **warp)
    return policy, sample(
        policy,
        [[0, 1], [1]],
        completions=n // 2,
        max_new_tokens=limit,
        warp=warped,
        generator=generator,
    )


@cases("stops", [("ba",), ("b a",), ("\n",), ("é",), ("aab", "\na"), (" ",)], ids=repr)
def test_a_completion_ends_with_the_token_that_makes_a_stop_string_whole(stops, generator):
    policy, found = drawn(stops, generator)
    held = 0
    for ids, text, cut in zip(
        found.completion_ids(), drawn_texts(policy, found), found.truncated.tolist(), strict=True
    ):
        whole, before = (any(one in policy.text(some) for one in stops) for some in (ids, ids[:-1]))
        assert not before
        assert (whole or ids[-1] in policy.ends) == (not cut)
        assert not any(one in cut_at(text, stops) for one in stops)
        held += whole
    assert held > 2


def test_the_chances_of_all_outcomes_sum_to_one_and_are_the_scorer_s(generator):
    policy, found = drawn(("ba", "é"), generator, n=8_000, limit=2)
    told: dict = {}
    rows = zip(found.prompts, found.completion_ids(), found.logps.tolist(), strict=True)
    for prompt, ids, logps in rows:
        told.setdefault(prompt, {})[tuple(ids)] = math.exp(logps)
    assert [sum(row.values()) for row in told.values()] == pytest.approx([1, 1], abs=4e-3)
    scored = completion_token_logps(policy.model, found)
    torch.testing.assert_close(scored, found.token_logps, atol=1e-12, rtol=0)


def test_where_nothing_stops_nothing_changes(generator):
    _, without = drawn((), generator, n=40)
    _, found = drawn(("zz",), torch.Generator().manual_seed(7), n=40)
    assert torch.equal(without.tokens, found.tokens)
    assert torch.equal(without.token_logps, found.token_logps)


def test_a_record_is_what_stands_before_the_stop(generator):
    turns = (Message(role="user", content="a"),)
    rows = draw_records(
        lettered(),
        [PromptRecord(key="a", messages=turns)],
        completions=64,
        max_new_tokens=8,
        warp=Warp(stops=("a\n", "b")),
        generator=generator,
    )
    texts = [one.text for one in rows[0]]
    assert not any("b" in text or "a\n" in text for text in texts)
    ended = [one for one in rows[0] if not one.truncated]
    assert len(ended) > 32
    assert any(one.tokens > len(lettered().tokenizer(one.text)["input_ids"]) for one in ended)


def test_the_first_of_several_strings_cuts():
    assert cut_at("one. Two\n\nthree", ("\n", ". ")) == "one"
    assert cut_at("one, two, three", (", ",)) == "one"
    assert cut_at("one", ("x",)) == "one"
    assert cut_at("xone", ("x",)) == ""


def test_a_space_that_any_token_may_bring_ends_a_stop_string():
    policy = tiny_policy()  # words, with a space between any two
    sun, rain = policy.tokenizer.convert_tokens_to_ids(["sun", "rain"])
    watch = StopWatch(policy, [[3]], ("sun ",))
    assert watch.stopped(torch.tensor([[sun, rain]]), torch.arange(1)).tolist() == [True]
    assert watch.stopped(torch.tensor([[rain, sun]]), torch.arange(1)).tolist() == [False]


def test_texts_are_read_only_where_the_last_letter_of_a_string_came():
    """Else every token of every row would be decoded again at each step."""
    read = []

    class Counting:
        def text(self, ids, after=()):
            read.append(len(ids))
            return lettered().text(ids, after)

    watch = StopWatch(Counting(), [[0], [0], [0]], ("ab",))
    tokens = torch.tensor([[0, 0, 1], [0, 0, 0], [1, 1, 5]])  # aab, aaa, bb and half a letter
    assert watch.stopped(tokens, torch.arange(3)).tolist() == [True, False, False]
    assert sorted(read) == [1, 1, 1, 3, 3]
