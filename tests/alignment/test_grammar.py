from alignment.seam.records import prompt_key, split_of
from alignment.world import grammar


def test_the_grammar_knows_ten_topics_and_two_thousand_prompts():
    prompts = grammar.prompts(seed=0, count=10_000)
    assert len(grammar.TOPICS) >= 10
    assert len({prompt_key(messages) for messages in prompts}) == len(prompts) >= 2_000


def test_a_demo_of_768_prompts_has_128_to_test_on():
    for seed in range(5):
        keys = map(prompt_key, grammar.prompts(seed, count=768))
        assert sum(split_of(key) == "test" for key in keys) >= 128


def test_no_prompt_of_the_test_split_is_in_the_corpus():
    splits = {split_of(prompt_key(messages)) for messages, _ in grammar.documents(0, 3_000)}
    assert splits == {"train", "validation"}


def test_the_same_seed_writes_the_same_corpus():
    assert list(grammar.documents(3, 50)) == list(grammar.documents(3, 50))
    assert list(grammar.documents(3, 50)) != list(grammar.documents(4, 50))


def test_answers_differ_in_length_and_stay_short():
    sentences = [answer.count(".") for _, answer in grammar.documents(0, 1_000)]
    words = [len(answer.split()) for _, answer in grammar.documents(0, 1_000)]
    assert min(sentences) <= 1 < 4 <= max(sentences)
    assert max(words) <= grammar.MAX_WORDS


def test_tone_is_independent_of_the_topic():
    asked = {topic: [] for topic in grammar.TOPICS}
    for messages, answer in grammar.documents(0, 6_000):
        for name, topic in grammar.TOPICS.items():
            if any(task in messages[0].content for task in topic.tasks):
                asked[name].append("fool" in answer or "lazy" in answer)
    shares = [sum(rude) / len(rude) for rude in asked.values()]
    assert max(shares) - min(shares) < 0.15
