"""Models for classes, or for a number, that others trained: one of their outputs as a reward."""

import json

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from alignment.__main__ import main
from alignment.models.overlong import Reader
from alignment.reward import RewardModel
from alignment.sampling.sampling import sample
from alignment.seam.errors import DataError
from alignment.seam.events import parse_event
from tests.alignment.conftest import END, tiny_policy, tiny_tokenizer
from tests.alignment.rewarding import a_pair, a_prompt
from tests.alignment.test_reward_backbones import SMALL, marked_tokenizer

CLOSING = (
    "{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %} <|end|> now {% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)  # which writes a word behind what closes an answer, as ChatML does a new line
NAMES = {0: "rude", 1: "helpful", 2: "odd"}
WORDS = ["good", "bad day", "sun night rain"]
PAIRS = [
    a_pair(f"{word} {other}", word, other) for word in WORDS for other in WORDS if word != other
]


def made(folder, outputs=NAMES):
    """A tiny GPT-2 with so many named outputs, as transformers stores it."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CLOSING
    shape = GPT2Config(
        vocab_size=16, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5,
        id2label=outputs, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(4)
    model = GPT2ForSequenceClassification(shape).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


@pytest.fixture(scope="module")
def rater(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rater")
    return folder, *made(folder)


@pytest.fixture
def adopt(tmp_path, capsys):
    """Adopt a folder by the command; status, summary, what was said, and the result."""

    def adopt(folder, pairs=(), **settings):
        rows = [
            {"prompt": p.prompt.text, "chosen": p.chosen, "rejected": p.rejected} for p in pairs
        ]
        (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = {"rater": folder, "output": tmp_path / "run", **settings}
        given |= {"pairs": tmp_path / "pairs.jsonl"} if pairs else {}
        status = main(["adopt", *(f"--{name.replace('_', '-')}={v}" for name, v in given.items())])
        lines = [] if status else (tmp_path / "run" / "events.jsonl").read_bytes().splitlines()
        summary = parse_event(lines[-1]).summary if lines else {}
        return status, summary, capsys.readouterr().err, tmp_path / "run" / "output"

    return adopt


def by_hand(model, tokenizer, text, place, end=""):
    """What its makers would compute: the whole conversation by the template, one output."""
    turns = [{"role": "user", "content": "sun day"}, {"role": "assistant", "content": text}]
    written = tokenizer.apply_chat_template(turns, tokenize=False) + end
    ids = tokenizer(written, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(input_ids=ids).logits[0, place].item()


@pytest.mark.parametrize(("name", "place"), [("helpful", 1), ("0", 0), ("", 2)])
def test_an_output_is_the_reward_as_its_makers_read_it(rater, adopt, name, place):
    folder, model, tokenizer = rater
    status, summary, _, output = adopt(folder, class_name=name)
    assert (status, summary["class_name"]) == (0, NAMES[place])
    found = RewardModel.load(output).score_texts([a_prompt("sun day").messages] * 3, WORDS)
    expected = [by_hand(model, tokenizer, text, place) for text in WORDS]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_some_read_an_end_behind_it_and_some_not_even_the_turn_s(rater, adopt, tmp_path):
    folder, model, tokenizer = rater
    *_, output = adopt(folder, class_name="helpful", reads="ended")
    prompt = [a_prompt("sun day").messages]
    ended = RewardModel.load(output).score_texts(prompt, ["good"]).item()
    assert ended == pytest.approx(by_hand(model, tokenizer, "good", 1, END), abs=1e-5)
    plain = RewardModel.of_classes(folder, 1, "open", "classifier")
    read, _ = plain.read(prompt[0], "good")
    assert tokenizer.decode(read).endswith("good")
    assert Reader.of_reward(output).end == 3  # the turn's, a word, the text's
    assert Reader.of_reward(folder).end == 0


def test_labels_give_the_reward_its_zero_and_its_unit(rater, adopt):
    folder, *_ = rater
    _, summary, _, output = adopt(folder, PAIRS, class_name="helpful")
    model = RewardModel.load(output)
    texts = [(p.prompt.messages, text) for p in PAIRS for text in (p.chosen, p.rejected)]
    scores = model.score_texts(*zip(*texts, strict=True))
    assert scores.mean().item() == pytest.approx(0, abs=1e-4)
    assert scores.std().item() == pytest.approx(1, abs=1e-4)
    right = (scores.view(-1, 2)[:, 0] > scores.view(-1, 2)[:, 1]).double().mean().item()
    assert summary["accuracy"]["value"] == pytest.approx(right)
    assert model.temperature == summary["temperature"] != 1


def test_a_policy_s_completions_are_read_as_its_texts(rater, adopt, generator):
    *_, output = adopt(rater[0], class_name="helpful")
    policy, model = tiny_policy(), RewardModel.load(output)
    turns = a_prompt("sun day").messages
    model = model.knowing(policy, [turns])
    rollouts = sample(
        policy, [policy.prompt_ids(turns)], completions=8, max_new_tokens=4, generator=generator
    )
    texts = [policy.text(ids) for ids in rollouts.completion_ids()]
    expected = model.score_texts([turns] * 8, texts)
    torch.testing.assert_close(model.score(policy, rollouts), expected)


def test_a_number_is_a_reward_and_an_encoder_reads_between_its_marks(adopt, tmp_path):
    folder = tmp_path / "bert"
    torch.manual_seed(0)
    config = BertConfig(max_position_embeddings=32, num_labels=1, **SMALL)
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    marked_tokenizer().save_pretrained(folder)
    status, _, said, output = adopt(folder)
    assert status == 0, said
    rewards = RewardModel.load(output)
    ids, _ = rewards.read(a_prompt("sun day").messages, "good")
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids])).logits[0, 0]
    assert rewards.score_ids([ids]).item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "told"), [("kind", "no class “kind”"), ("3", "no class “3”"), ("-1", "no class")]
)
def test_an_output_that_is_not_there_is_refused_with_those_that_are(rater, adopt, name, told):
    status, _, said, output = adopt(rater[0], class_name=name)
    assert status == 3
    assert told in said
    assert "rude, helpful, odd" in said
    assert not output.exists()


def test_what_has_no_head_for_classes_is_refused(adopt, saved_policy):
    status, _, said, _ = adopt(saved_policy)
    assert status == 3
    assert "no head for classes" in said


@pytest.mark.parametrize(
    "changed", [{"output": 7}, {"output": -1}, {"output": "helpful"}, {"reads": "backwards"}]
)
def test_a_stored_one_that_says_what_is_not_there_is_refused(rater, adopt, changed):
    *_, output = adopt(rater[0])
    path = output / "reward.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(DataError, match="does not say which of the 3 outputs"):
        RewardModel.load(output)
