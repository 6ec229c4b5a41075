"""T5 and BART as policies: what is refused, what is read as tokens, and that sampler and scorer agree."""

import json

import pytest
import torch
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from alignment.classification.model import Classifier, chance_of
from alignment.models.conversations import ANSWERS, answer_text, text_ids
from alignment.models.encoder_decoders import (
    answered_apart,
    check_answers,
    encoder_ids,
    starts_of,
)
from alignment.models.overlong import Reader
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of, written
from alignment.models.trials import described, sampler, try_out
from alignment.objectives.toy import outcomes
from alignment.objectives.values import ValueHead, completion_values, last_states
from alignment.reward import RewardModel
from alignment.sampling.sampling import decoded_token_logps, sample
from alignment.sampling.scoring import completion_token_logps, logps_to_learn_from
from alignment.seam.architectures import family_in
from alignment.seam.errors import AlignmentError, ConfigError, DataError
from alignment.seam.records import Message
from tests.alignment.conftest import tiny_policy, tiny_tokenizer
from tests.alignment.tokenizers import ENDS, LETTERS, LOSSY, TOKENIZERS, tokenizer_of
from tests.architectures import ENCODER_DECODERS, model_of, policy_of, saved
from tests.cases import cases

TALK = [Message(role="user", content="good day")]
PROMPTS = [[3, 6], [3, 7, 8, 9, 10], [3, 11, 12]]
BOTH = ("t5", "bart")


def marked():
    """The tiny tokenizer, which puts an end behind every text, as T5's does."""
    tokenizer = tiny_tokenizer()
    end = [("<|end|>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|end|>", special_tokens=end
    )
    return tokenizer


def one(name, **changes):
    return policy_of(name, marked(), **changes)


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@cases("name", ENCODER_DECODERS)
def test_what_was_added_is_sampled_as_it_is_scored(name, tmp_path):
    policy = sampler(saved(name, marked(), tmp_path))
    try_out(policy)
    generator = torch.Generator().manual_seed(3)
    drawn = sample(policy, PROMPTS, completions=5, max_new_tokens=9, generator=generator)
    scored = completion_token_logps(policy.model, drawn)
    torch.testing.assert_close(scored, drawn.token_logps, atol=1e-4, rtol=0)
    assert len(set(drawn.lengths.tolist())) > 1
    again = decoded_token_logps(policy.model, drawn)
    torch.testing.assert_close(again, drawn.token_logps, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", BOTH)
def test_all_outcomes_of_a_prompt_sum_to_one(name):
    policy = one(name, vocabulary=16)
    policy.model.double()
    every = outcomes([[3, 2], [3, 2, 4, 0, 2]], vocabulary=16, length=2, ends=policy.ends)
    logps = completion_token_logps(policy.model, every).sum(1)
    sums = logps.exp().view(2, -1).sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", BOTH)
def test_a_scored_row_does_not_depend_on_its_batch(name):
    policy = one(name)
    rows = [written(policy, [Message(role="user", content=text)], answer) for text, answer in (
        ("sun", "rain"), ("good day good day", "now a b"), ("a b", "sun sun sun sun sun"),
    )]  # fmt: skip
    together = completion_token_logps(policy.model, rollouts_of(policy, rows)).sum(1)
    alone = [completion_token_logps(policy.model, rollouts_of(policy, [row])).sum() for row in rows]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", BOTH)
def test_a_row_is_what_the_library_s_own_loss_says(name):
    policy = one(name, pad_token_id=0)
    row = written(policy, TALK, "sun rain")
    labels = torch.tensor([row.completion])
    told = policy.model(input_ids=torch.tensor([row.prompt]), labels=labels).loss
    found = completion_token_logps(policy.model, rollouts_of(policy, [row])).sum()
    torch.testing.assert_close(-found / len(row.completion), told)


@pytest.mark.parametrize("name", BOTH)
def test_prompts_that_are_read_once_give_the_same_gradients(name):
    policy = one(name)
    every = outcomes(PROMPTS[:2], vocabulary=4, length=2, ends=policy.ends)
    weights = torch.linspace(0, 1, len(every.prompts))

    def gradients(read):
        policy.model.zero_grad()
        logps, finish = read(policy.model, every)
        (logps.sum(1) * weights).sum().backward()
        finish()
        return [p.grad.clone() for p in policy.model.parameters() if p.grad is not None]

    shared = gradients(logps_to_learn_from)
    alone = gradients(lambda *given: (completion_token_logps(*given), lambda: None))
    assert len(shared) == len(alone) > 10
    for one_way, other in zip(shared, alone, strict=True):
        torch.testing.assert_close(one_way, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", BOTH)
def test_a_forced_first_token_is_no_part_of_an_answer(name):
    policy = one(name)
    policy.model.generation_config.forced_bos_token_id = 5
    row = rollouts_of(policy, [written(policy, TALK, "sun")])
    forced = completion_token_logps(policy.model, row)
    torch.testing.assert_close(decoded_token_logps(policy.model, row), forced, atol=1e-4, rtol=0)
    start = policy.model.config.decoder_start_token_id
    assert starts_of(policy.model) == (start, 5)
    drawn = sample(policy, PROMPTS, completions=2, max_new_tokens=3, generator=torch.Generator())
    scored = completion_token_logps(policy.model, drawn)
    torch.testing.assert_close(scored, drawn.token_logps, atol=1e-4, rtol=0)


def test_the_encoder_reads_the_tokenizer_s_marks_and_the_answer_is_a_text_by_itself():
    policy = one("t5")
    prompt, completion = policy.answered(TALK, "sun rain")
    assert policy.tokenizer.decode(prompt) == "<|user|> good day <|assistant|> <|end|>"
    assert policy.tokenizer.decode(completion) == "sun rain <|end|>"
    assert prompt == policy.prompt_ids(TALK)
    assert policy.text(completion, prompt) == "sun rain"


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_are_those_that_the_tokenizer_itself_gives(name):
    """Of the prompt in the plain form with its marks; answers come back as they were, but for a first gap."""
    for around in ENDS:
        tokenizer = tokenizer_of(name, around=around)
        check_answers(tokenizer)
        plain = "User: what is 2 + 2?\nAssistant:"
        asked = [Message(role="user", content="what is 2 + 2?")]
        assert encoder_ids(tokenizer, asked) == tokenizer(plain)["input_ids"]
        if name in LOSSY:
            continue
        for answer in (*ANSWERS, "</s> is text"):
            found = answered_apart(tokenizer, asked, answer)
            text = answer_text(tokenizer, found.completion)
            assert text.strip() == answer.strip()
            assert text_ids(tokenizer, text) == found.completion


def test_a_tokenizer_as_t5_s_loses_what_it_has_no_token_for_once():
    letters = [letter for letter in LETTERS if letter not in "<>\n"]
    trained = Tokenizer(models.Unigram())
    trained.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=160, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
        initial_alphabet=[*letters, "▁"], show_progress=False,
    )  # fmt: skip
    trained.train_from_iterator(["yes it is x", "good day to you"] * 4, trainer)
    names = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, **names)
    assert check_answers(tokenizer)["turn_closes_with"] == "nothing of its own"
    assert answer_text(tokenizer, text_ids(tokenizer, " yes,\n <x> is ")).split() == [
        "yes,",
        "x",
        "is",
    ]


def test_a_tokenizer_that_reads_its_own_answers_otherwise_is_refused():
    tokenizer = tokenizer_of("Metaspace never")
    tokenizer.backend_tokenizer.normalizer = normalizers.Prepend("x")
    with pytest.raises(DataError, match="does not read an answer as it writes it"):
        check_answers(tokenizer)


def test_bart_has_room_for_a_prompt_and_beside_it_for_an_answer(tmp_path):
    policy = one("bart")
    assert (policy.context_length, policy.room(48), policy.room(49)) == (48, 48, 0)
    policy.model.generation_config.forced_bos_token_id = 5
    assert (policy.room(47), policy.room(48)) == (48, 0)
    policy.save(tmp_path)
    reader, words = Reader.of(tmp_path), [Message(role="user", content="a " * 45)]
    assert (reader.excess(words, 47), reader.excess(words, 48)) == (0, 48)
    assert reader.longest(words, ["a", "a b now"]) == 4
    drawn = sample(
        policy, [policy.prompt_ids(words)], completions=2, max_new_tokens=47, generator=torch.Generator()
    )  # fmt: skip
    assert drawn.token_logps.isfinite().all()
    with pytest.raises(DataError, match="leaves it 0 beside a completion of 48"):
        sample(policy, PROMPTS, completions=1, max_new_tokens=48, generator=torch.Generator())


def test_t5_has_no_limit_but_its_tokenizer_s():
    policy = one("t5")
    assert policy.room(10**6) == policy.context_length > 10**20
    prompt = [3, *[6] * 300]
    drawn = sample(
        policy, [prompt, [3]], completions=2, max_new_tokens=60, generator=torch.Generator()
    )
    scored = completion_token_logps(policy.model, drawn)
    torch.testing.assert_close(scored, drawn.token_logps, atol=1e-4, rtol=0)
    assert described(policy)["context_length"] == "without a limit"


def test_a_card_counts_both_sides():
    card = described(one("bart"))
    assert (card["architecture"], card["layers"]) == ("BartForConditionalGeneration", 3)
    assert card["prompt_ends_with"] == "<|assistant|>, then <|end|>"


WRONG = {
    "no start": ({"decoder_start_token_id": None}, "config.json has no decoder_start_token_id"),
    "a start that is no token": ({"decoder_start_token_id": 99}, "the token 99, and there are 16"),
    "a negative start": ({"decoder_start_token_id": -1}, "the token -1, and there are 16"),
    "an encoder alone": ({"is_encoder_decoder": False}, "no causal and no masked language model"),
}


@cases("case", WRONG)
def test_a_config_that_cannot_be_followed_is_refused_by_name(case, tmp_path):
    values, reason = WRONG[case]
    folder = saved("t5", marked(), tmp_path)
    (folder / "generation_config.json").unlink()
    edit(folder / "config.json", **values)
    with pytest.raises(AlignmentError, match=reason):
        Policy.load(folder)


@cases("told", [{}, {"is_encoder_decoder": True}])
def test_another_family_is_refused_by_its_name(told, tmp_path):
    folder = saved("bart", marked(), tmp_path)
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "pegasus"}
    del config["is_encoder_decoder"]
    (folder / "config.json").write_text(json.dumps(config | told))
    with pytest.raises(
        DataError, match="“pegasus”, an encoder with a decoder; of these T5, mT5, umT5"
    ):
        Policy.load(folder)


def test_a_model_that_names_no_end_is_refused(tmp_path):
    folder = saved("bart", tiny_tokenizer(), tmp_path)
    edit(folder / "tokenizer_config.json", eos_token=None)
    with pytest.raises(ConfigError, match="No end-of-text token is known"):
        try_out(Policy.load(folder))


def test_a_model_without_padding_is_sampled_beside_shorter_prompts(tmp_path):
    folder = saved("bart", tiny_tokenizer(), tmp_path)
    edit(folder / "tokenizer_config.json", pad_token=None)
    edit(folder / "config.json", pad_token_id=None)
    try_out(sampler(folder))


def test_a_head_that_is_not_tied_is_kept(tmp_path):
    policy = one("t5")
    policy.model.lm_head.weight = torch.nn.Parameter(torch.randn(16, 32))
    before = policy.model.lm_head.weight.detach().clone()
    policy.save(tmp_path)
    assert torch.equal(Policy.load(tmp_path).model.lm_head.weight, before)


@cases("tied", [True, False])
def test_a_t5_that_was_saved_says_the_same_again(tied, tmp_path):
    """T5 1.1 does not scale what its head reads, which its first config says by an untied head."""
    policy = one("t5", tie_word_embeddings=tied)
    rows = rollouts_of(policy, [written(policy, TALK, "sun rain")])
    before = completion_token_logps(policy.model, rows)
    for place in (tmp_path / "once", tmp_path / "twice"):
        policy.save(place)
        policy = Policy.load(place)
    torch.testing.assert_close(completion_token_logps(policy.model, rows), before)


@pytest.mark.parametrize("forced", [None, 5])
def test_a_value_is_that_of_the_state_before_its_token(forced):
    policy = one("t5")
    policy.model.generation_config.forced_bos_token_id = forced
    head = ValueHead.of(policy.model, 1.0, 0)
    torch.nn.init.normal_(head.outer.weight)
    row = written(policy, TALK, "sun rain")
    starts = starts_of(policy.model)
    with last_states(policy.model) as states:
        policy.model(
            input_ids=torch.tensor([row.prompt]),
            decoder_input_ids=torch.tensor([[*starts, *row.completion[:-1]]]),
        )
    found = completion_values(policy.model, head, rollouts_of(policy, [row]))
    torch.testing.assert_close(found, head(states[0])[:, len(starts) - 1 :])


def test_an_encoder_of_t5_alone_is_no_policy(tmp_path):
    marked().save_pretrained(tmp_path)
    T5EncoderModel(model_of("t5", 16).config).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="no causal and no masked"):
        Policy.load(tmp_path)


def test_a_causal_reference_is_refused_for_an_encoder_decoder():
    with pytest.raises(
        ConfigError, match="One of the policy and the reference is an encoder-decoder"
    ):
        one("t5").check_tokens(tiny_policy())


@cases("name", BOTH)
def test_a_reward_model_reads_prompt_and_answer_apart(name, tmp_path):
    model = RewardModel.fresh(saved(name, marked(), tmp_path / "start"))
    torch.nn.init.normal_(model.head.weight)
    texts = ["good", "bad day night", "", "sun sun sun sun"]
    prompts = [[Message(role="user", content=text)] for text in ("a", "a b", "rain now a", "sun")]
    alone = [
        model.score_texts(*pair)
        for pair in zip([[p] for p in prompts], [[t] for t in texts], strict=True)
    ]
    both = model.score_texts(prompts, texts)
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-4, rtol=0)
    assert both.std() > 0.01
    (tmp_path / "kept").mkdir()
    model.save(tmp_path / "kept")
    again = RewardModel.load(tmp_path / "kept")
    torch.testing.assert_close(again.score_texts(prompts, texts), both)
    assert family_in(tmp_path / "kept")


def test_a_reward_is_that_of_the_text_whoever_drew_it(tmp_path):
    model = RewardModel.fresh(saved("t5", marked(), tmp_path))
    torch.nn.init.normal_(model.head.weight)
    for policy in (one("t5"), one("bart"), tiny_policy()):
        drawn = sample(
            policy, [policy.prompt_ids(TALK)], completions=4, max_new_tokens=4, generator=torch.Generator()
        )  # fmt: skip
        texts = [policy.text(ids, drawn.prompts[0]) for ids in drawn.completion_ids()]
        knowing = model.knowing(policy, [TALK])
        read = knowing.score(policy, drawn)
        torch.testing.assert_close(read, model.score_texts([TALK] * 4, texts), atol=1e-4, rtol=0)


def test_a_class_is_that_of_the_text_too(policy_folder):
    told = Classifier.fresh(policy_folder, ["other", "harmful"], "answer")
    torch.nn.init.normal_(told.model.score.weight, std=0.5)
    policy = one("t5")
    drawn = sample(
        policy, PROMPTS, completions=4, max_new_tokens=4, generator=torch.Generator().manual_seed(0)
    )
    texts = [policy.text(ids) for ids in drawn.completion_ids()]
    chances = told.of_texts([()] * len(texts), texts)[:, 1]
    torch.testing.assert_close(chance_of(told, "")(policy, drawn), chances)
    assert chances.std() > 0


def test_a_text_too_long_for_a_reward_model_is_cut_on_either_side_by_itself(tmp_path):
    model = RewardModel.fresh(saved("bart", marked(), tmp_path))
    ids, cut = model.join([6, 7] * 30, [7] * 60)
    border = ids.index(-1)
    assert (border, len(ids) - border - 1, cut) == (48, 47, True)
    assert model.score_ids([ids]).isfinite().all()
