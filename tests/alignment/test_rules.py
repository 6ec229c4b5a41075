"""Rules of texts, each by values that can be checked by hand."""

import pytest
import torch

from alignment.models.lora import shared
from alignment.targets.rules import (
    contains,
    embedding_similarity,
    embeddings,
    matches,
    similarity,
    words,
)


def test_a_phrase_is_found_in_any_case():
    assert contains("Good Day")(["a good day", "good, day", ""]).tolist() == [1, 0, 0]


def test_a_pattern_is_searched_anywhere():
    assert matches(r"\d{2}")(["in 1999", "in 7 days"]).tolist() == [1, 0]


def test_words_are_counted():
    assert words()(["", "one", " two  words "]).tolist() == [0, 1, 2]


def test_the_nearest_example_counts():
    score = similarity("the sun shines | rain falls")
    assert score(["rain falls", "The Sun shines", "snow"]).tolist() == pytest.approx([1, 1, 0])


def test_words_that_no_example_has_make_a_text_less_similar():
    (near, far) = similarity("rain falls")(["rain falls", "rain falls on every roof of the town"])
    assert far < 0.7 * near


def test_a_rare_word_weighs_more_than_one_that_every_example_has():
    (common, rare) = similarity("the sun|the rain|the wind")(["the", "wind"])
    assert rare > common > 0


def test_an_embedding_is_the_mean_of_the_last_hidden_states(policy):
    text = "sun rain now"
    ids = torch.tensor([policy.tokenizer(text)["input_ids"]])
    mean = policy.model.transformer(ids).last_hidden_state[0].double().mean(0)
    found = embeddings(policy, ["day", text, "", "good day please now a b"])
    torch.testing.assert_close(found[1], mean / mean.norm(), atol=1e-6, rtol=0)
    assert found[2].abs().max() == 0


def test_embeddings_do_not_depend_on_their_batch(policy, monkeypatch):
    texts = ["sun", "rain now good", "b a b a b", "day night"]
    together = embeddings(policy, texts)
    monkeypatch.setattr("alignment.targets.rules.TOKENS", 5)
    torch.testing.assert_close(embeddings(policy, texts), together, atol=1e-6, rtol=0)


def test_a_reference_that_shares_the_policy_s_model_can_be_asked(policy):
    """Under LoRA it is the model without its adapter."""
    texts = ["sun rain", "night"]
    torch.testing.assert_close(embeddings(shared(policy), texts), embeddings(policy, texts))


def test_the_nearest_embedding_counts(policy):
    known = embeddings(policy, ["sun rain", "night", "good bad"])
    found = embedding_similarity("sun rain | night", policy)(["night", "good bad", ""])
    nearest = torch.max(known[2] @ known[0], known[2] @ known[1])
    assert found.tolist() == pytest.approx([1, nearest.item(), 0], abs=1e-6)
