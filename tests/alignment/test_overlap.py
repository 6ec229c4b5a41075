"""How far texts agree with known answers: equal to sacrebleu's and scikit-learn's on random tables."""

import random
from collections import Counter

import pytest
import torch
from sacrebleu import corpus_bleu, sentence_chrf
from sklearn.metrics import f1_score

from alignment.maths.overlap import BleuCounts, chrf, exact_match, normalised, token_f1

WORDS = ["sun", "moon", "bird", "sings", "over", "river", "Füße", "a", "the", "don't", "well,"]


def a_text(coin, most=9):
    return " ".join(coin.choices(WORDS, k=coin.randint(1, most)))


def a_table(seed):
    """Texts, each with one to three known answers that share words with it."""
    coin = random.Random(seed)
    texts = [a_text(coin) for _ in range(12)]
    known = [
        [
            " ".join([*text.split()[: coin.randint(1, 9)], a_text(coin, 3)])
            for _ in range(coin.randint(1, 3))
        ]
        for text in texts
    ]
    return texts, known


def as_rows(text, other):
    """Which words of both, each time that it comes, are in one and in the other."""
    told, said = Counter(normalised(text)), Counter(normalised(other))
    both = [(word, n) for word in told | said for n in range(max(told[word], said[word]))]
    return [[n < of[word] for word, n in both] for of in (said, told)]


@pytest.mark.parametrize("seed", range(10))
def test_figures_equal_the_libraries(seed):
    texts, known = a_table(seed)
    counts = BleuCounts.of(texts, known)
    width = max(map(len, known))
    streams = [[row[min(at, len(row) - 1)] for row in known] for at in range(width)]
    assert counts.score(torch.ones(12)) == pytest.approx(
        corpus_bleu(texts, streams).score, abs=1e-9
    )
    drawn = [random.Random(seed).randrange(12) for _ in range(12)]
    weights = torch.tensor(drawn).bincount(minlength=12)
    again = [[stream[row] for row in drawn] for stream in streams]
    wanted = corpus_bleu([texts[row] for row in drawn], again).score
    assert counts.score(weights) == pytest.approx(wanted, abs=1e-9)
    for text, answers in zip(texts, known, strict=True):
        assert chrf(text, answers) == pytest.approx(sentence_chrf(text, answers).score, abs=1e-9)
        wanted = max(f1_score(*as_rows(text, one)) for one in answers)
        assert token_f1(text, answers) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "known", "same", "f1"),
    [
        ("The sun.", ["a SUN"], 1, 1),
        ("sun", ["moon", "sun"], 1, 1),
        ("sun moon", ["sun"], 0, 2 / 3),
        ("sun sun", ["sun"], 0, 2 / 3),
        ("", ["sun"], 0, 0),
        ("the", [""], 1, 1),
    ],
)
def test_words_are_compared_without_what_says_nothing(text, known, same, f1):
    assert exact_match(text, known) == same
    assert token_f1(text, known) == pytest.approx(f1)
