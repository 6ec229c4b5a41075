import pytest
from sacrebleu import sentence_bleu

from alignment.maths.diversity import distinct_2, diversity, jackknife, self_bleu


def test_a_model_that_repeats_itself_is_less_diverse():
    varied = [[i, i + 1, i + 2, i + 3] for i in range(0, 160, 4)]
    numbers = diversity([(row, [1, 2, 1, 2]) for row in varied])
    assert numbers["distinct_2_before"].value == 1
    assert numbers["distinct_2_ratio"].value == pytest.approx(2 / 120)


def test_diversity_is_compared_at_equal_numbers_of_tokens():
    before, after, ratio = distinct_2([([1, 2, 3], [1, 2, 3, 1, 2, 3, 1, 2, 3])])
    assert before == after == ratio == 1


def test_more_prompts_make_the_interval_narrower():
    widths = []
    for count in (40, 640):
        rows = [([i % 7, i % 5, i % 3], [i % 2, i % 3, 0]) for i in range(count)]
        ratio = diversity(rows)["distinct_2_ratio"]
        widths.append(ratio.high - ratio.low)
    assert widths[1] < widths[0]


def test_the_jackknife_of_a_mean_is_its_t_interval():
    values = [1.0, 2.0, 4.0, 9.0]
    parts = [(sum(values) - value) / 3 for value in values]
    found = jackknife(4.0, parts, prompts=4)
    half = 3.182446305 * 3.559026084 / 2  # t of 3 degrees, standard deviation / sqrt(4)
    assert found.high - found.value == pytest.approx(half)


def test_one_prompt_has_no_interval():
    assert diversity([([1, 2, 3], [1, 2, 3])])["distinct_2_ratio"].low is None


def test_answers_that_are_alike_have_a_self_bleu_of_one_and_strangers_none():
    alike, strangers, some = (
        ["we would be glad to help", "we would be glad to help"],
        ["we would be glad to help", "nothing of that sort exists"],
        ["we would be glad to help", "we would be sorry to help"],
    )
    found = self_bleu([alike, strangers, some, ["", ""]])
    assert found[0] == pytest.approx(1)
    assert found[1] < 0.1 < found[2] < 0.9
    assert found[3] == 0


def test_self_bleu_is_the_mean_of_each_answer_beside_the_others():
    texts = ["a b c d e", "a b c x y", "q r s t u"]
    scores = [
        sentence_bleu(one, [t for t in texts if t != one], use_effective_order=True).score / 100
        for one in texts
    ]
    assert self_bleu([texts]) == [pytest.approx(sum(scores) / 3)]
