"""What ends an answer is a set: of generation_config.json, the tokenizer and the chat template."""

from itertools import chain, combinations

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from alignment.kinds.align.settings import AlignConfig
from alignment.models.conversations import check_conversation, turn_end
from alignment.models.lora import shared
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of, written
from alignment.models.trials import conversing
from alignment.objectives.toy import listing, outcomes, random_gpt2, toy_policy, toy_problem
from alignment.reward import RewardModel
from alignment.sampling.engines import ends_in
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError
from alignment.seam.records import Message
from tests.alignment.tokenizers import tokenizer_of
from tests.cases import cases

EOS, TURN, OTHER = "<|eos|>", "<|turn|>", "stop"
WORDS = [EOS, TURN, OTHER, "<|user|>", "<|model|>", "a", "b"]
CLOSED = (
    "{% for turn in messages %}<|{{ 'model' if turn['role'] == 'assistant' else 'user' }}|> "
    "{{ turn['content'] }} "
    + TURN
    + "\n{% endfor %}{% if add_generation_prompt %}<|model|> {% endif %}"
)
OPEN = CLOSED.replace(TURN, "")
ASKED = (Message(role="user", content="a b"),)
SOURCES = ("chat template", "tokenizer", "generation_config.json")
SUBSETS = list(chain.from_iterable(combinations(SOURCES, n) for n in range(1, 4)))


def policy_of(*sources: str, told=(2, 0), seed: int = 0) -> Policy:
    """A policy over seven words, of which those that these sources name end an answer."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_tokens([TURN, "<|user|>", "<|model|>"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=CLOSED if "chat template" in sources else OPEN,
        **({"eos_token": EOS} if "tokenizer" in sources else {}),
    )
    model = random_gpt2(fast, vocabulary=len(WORDS), seed=seed).double()
    model.generation_config.eos_token_id = (
        list(told) if "generation_config.json" in sources else None
    )
    return Policy(model, fast)


def named(sources) -> list[int]:
    each = {"chat template": [1], "tokenizer": [0], "generation_config.json": [2, 0]}
    return list(dict.fromkeys(token for source in sources for token in each[source]))


@pytest.mark.parametrize("sources", SUBSETS)
def test_the_ends_are_those_of_all_sources_the_template_s_first(sources):
    assert list(policy_of(*sources).ends) == named(sources)


@pytest.mark.parametrize("sources", SUBSETS)
def test_probabilities_sum_to_one_with_every_set_of_ends(sources):
    policy = policy_of(*sources)
    every = outcomes([[5, 6], [6]], vocabulary=len(WORDS), length=3, ends=policy.ends)
    sums = completion_token_logps(policy.model, every).sum(1).exp().view(2, -1).sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-12, rtol=0)


@pytest.mark.parametrize("sources", SUBSETS)
def test_a_sample_ends_at_the_first_of_any_end(sources, generator):
    """16 of 16 ran to the limit where the sampler knew one end and the model wrote another."""
    policy = policy_of(*sources)
    drawn = sample(policy, [[5], [5, 6, 6]], completions=200, max_new_tokens=6, generator=generator)
    ends, rows = set(policy.ends), drawn.completion_ids()
    assert {ids[-1] for ids in rows if ids[-1] in ends} == ends
    assert not any(ends & set(ids[:-1]) for ids in rows)
    assert drawn.truncated.tolist() == [ids[-1] not in ends for ids in rows]
    scored = completion_token_logps(policy.model, drawn)
    torch.testing.assert_close(scored, drawn.token_logps, atol=1e-12, rtol=0)


def test_samples_have_the_chances_of_their_outcomes_each_end_apart(generator):
    policy = policy_of(*SOURCES)
    drawn = sample(policy, [[5]], completions=20_000, max_new_tokens=2, generator=generator)
    every = outcomes([[5]], vocabulary=len(WORDS), length=2, ends=policy.ends)
    expected = completion_token_logps(policy.model, every).sum(1).exp()
    seen = drawn.completion_ids()
    counts = torch.tensor([seen.count(ids) / len(seen) for ids in every.completion_ids()])
    sigmas = (counts - expected).abs() / (expected * (1 - expected) / len(seen)).sqrt()
    assert sigmas.max() < 4.5


def test_the_toy_s_listing_has_an_outcome_for_each_end():
    problem = toy_problem(AlignConfig(max_new_tokens=2, reward_weight=1), words=3)
    reference = toy_policy(3)
    reference.model.generation_config.eos_token_id = [0, 2]
    object.__setattr__(problem, "reference", reference)
    every = listing(problem)
    torch.testing.assert_close(
        every.log_reference.exp().sum(1), torch.ones(2, dtype=torch.float64), atol=1e-12, rtol=0
    )
    assert every.log_reference.shape == (2, 2 + 2 * 2 + 2 * 2)


def test_what_the_model_cannot_write_ends_nothing():
    policy = policy_of("tokenizer", "generation_config.json", told=(50_256, -1, 6))
    assert policy.ends == (0, 6)


def test_a_reference_that_shares_its_model_ends_as_the_policy_does():
    policy = policy_of(*SOURCES)
    assert shared(policy).ends == policy.ends


def test_one_number_ends_as_a_list_does():
    policy = policy_of("generation_config.json")
    policy.model.generation_config.eos_token_id = 6
    assert policy.ends == (6,)


def test_no_end_at_all_is_refused_in_words():
    with pytest.raises(ConfigError, match=r"No end-of-text token is known.*Set the eos_token"):
        _ = policy_of().ends


@cases("sources", SUBSETS)
def test_saving_keeps_the_ends(sources, tmp_path):
    policy = policy_of(*sources)
    policy.save(tmp_path)
    assert Policy.load(tmp_path).ends == policy.ends
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tuple(ends_in(tmp_path, tokenizer)) == policy.ends


def test_an_answer_of_somebody_s_closes_with_the_template_s_own_end():
    policy = policy_of(*SOURCES)
    row = written(policy, ASKED, "b a")
    assert row.completion[-1] == policy.turn_end == 1
    assert not rollouts_of(policy, [row]).truncated.any()


@pytest.mark.parametrize("end", [0, 1, 2])
def test_a_text_never_holds_the_token_that_ended_it(end):
    """Also where the tokenizer thinks that it is a word."""
    policy = policy_of(*SOURCES)
    assert policy.text([5, 6, end]) == policy.text([5, 6]) == "a b"


def test_an_end_in_the_middle_of_a_written_text_stays():
    assert policy_of(*SOURCES).text([5, 2, 6, 1]) == "a stop b"


def test_policies_that_end_differently_have_no_ratio():
    policy, other = policy_of(*SOURCES), policy_of("chat template", "tokenizer")
    with pytest.raises(ConfigError, match=r"different tokens \(<\|turn\|>, <\|eos\|>, stop; "):
        policy.check_prompts(other)


@pytest.mark.parametrize(
    ("template", "end"),
    [
        ("{{ messages[-1]['content'] }} <|turn|> <|eos|>", 1),
        ("{{ messages[-1]['content'] }}\n<|eos|>", 0),
        ("{{ messages[-1]['content'] }}\n### Human:", None),
        ("{{ messages[-1]['content'] }}", None),
        ("{{ messages[0]['content'] }}<|turn|>", None),
        ("{{ raise_exception('never') }}", None),
        (None, None),
    ],
)
def test_the_template_says_with_which_token_an_answer_closes(template, end):
    tokenizer = policy_of("tokenizer").tokenizer
    tokenizer.chat_template = template
    assert turn_end(tokenizer) == end


@pytest.fixture
def reward(tmp_path):
    """A reward model on a policy of a byte-level tokenizer, and that policy."""
    tokenizer = tokenizer_of("byte-level BPE", "ChatML")
    policy = Policy(random_gpt2(tokenizer, vocabulary=len(tokenizer), seed=0), tokenizer)
    policy.model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(["<|eot_id|>"])
    policy.save(tmp_path)
    model = RewardModel.fresh(tmp_path)
    torch.nn.init.normal_(model.head.weight)
    return policy, model


def test_a_reward_is_that_of_the_text_whatever_ended_it(reward):
    """And with whatever tokens it was drawn: a rare one in letters has the reward of the usual one."""
    policy, model = reward
    usual = policy.answered(ASKED, "Hello")[1]
    letters = policy.tokenizer.convert_tokens_to_ids(list("Hello"))
    rows = [[*ids, end] for ids in (usual[:-1], letters) for end in policy.ends]
    prompt = tuple(policy.prompt_ids(ASKED))
    written_rows = [Written(prompt, tuple(row)) for row in rows]
    found = model.knowing(policy, [ASKED]).score(policy, rollouts_of(policy, written_rows))
    expected = model.score_texts([ASKED], ["Hello"]).expand(len(rows))
    assert len(policy.ends) == 3
    assert usual[:-1] != letters
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_model_s_page_says_what_ends_an_answer_and_who_says_so(reward):
    facts = conversing(reward[0])
    assert facts == {
        "answers_end_with": "<|im_end|> (chat template); </s> (tokenizer); <|eot_id|> (generation_config.json)",
        "turn_closes_with": "<|im_end|>, a token",
        "prompt_ends_with": "<|im_end|>\n<|im_start|>assistant",
    }


@pytest.mark.parametrize(
    ("template", "closes", "ends"),
    [
        ("in words", "nothing of its own", "### assistant:"),
        (
            "closes in words",
            "“END.”, which is no token: an answer goes on until its end",
            "assistant:",
        ),
        (
            "opens a thought",
            "<|im_end|>, a token",
            "<|im_start|>assistant\n<think>, which opens a thought",
        ),
        ("none", "nothing of its own", "“Assistant:”, in the plain form"),
        ("Mistral", "</s>, a token", "[/INST]"),
        ("no generation prompt", "<|im_end|>, a token", "<|im_end|>"),
        (
            "the last turn alone",
            "nothing of its own",
            "the question: the template writes no generation prompt",
        ),
    ],
)
def test_a_model_s_page_says_how_a_conversation_is_written(template, closes, ends):
    facts = check_conversation(tokenizer_of("byte-level BPE", template))
    assert facts["turn_closes_with"] == closes
    assert facts["prompt_ends_with"].endswith(ends)
