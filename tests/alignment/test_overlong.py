"""Rows that are longer than a model's context: refused, dropped or cut, and said, before a model is loaded."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

from alignment.__main__ import main
from alignment.kinds.evaluate import run as evaluation
from alignment.models.overlong import Reader, fitting_labels, fitting_prompts, shortened
from alignment.models.policies import Policy
from alignment.models.texts import written
from alignment.objectives.toy import random_gpt2
from alignment.reward import RewardModel
from alignment.seam.errors import DataError
from alignment.seam.events import Fitted, parse_event
from alignment.seam.records import Message, PromptRecord, prompt_key
from tests.alignment.conftest import WORDS, tiny_policy, tiny_tokenizer
from tests.alignment.rewarding import a_pair
from tests.alignment.test_loop import SMALL
from tests.alignment.test_reward_backbones import bert  # noqa: F401 - a fixture
from tests.cases import cases

FEW = [f"{one} {other}" for one in WORDS[:5] for other in WORDS[:5]]
LONG = "sun " * 40 + "rain"
MODES = ("refuse", "drop", "cut_left")


def with_bos(*, template=True):
    """A tiny policy whose texts begin with a token of their own: the template's, or the tokenizer's."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    bos = ("<|begin|>", tokenizer.bos_token_id)
    if template:
        tokenizer.chat_template = f"<|begin|> {tokenizer.chat_template}"
    else:
        tokenizer.chat_template = None
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[bos]
        )
    return Policy(random_gpt2(tokenizer, vocabulary=len(tokenizer), seed=0), tokenizer)


POLICIES = {
    "template": tiny_policy(),
    "template with BOS": with_bos(),
    "tokenizer with BOS": with_bos(template=False),
}
SAID = st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join)
TALKS = st.lists(SAID, min_size=1, max_size=7).filter(lambda turns: len(turns) % 2)
SYSTEM = st.none() | SAID


def a_talk(system, turns):
    messages = [Message(role=("user", "assistant")[n % 2], content=t) for n, t in enumerate(turns)]
    if system:
        messages.insert(0, Message(role="system", content=system))
    return PromptRecord(key=prompt_key(messages), messages=messages)


def reader_of(policy):
    return Reader(policy.tokenizer, policy.context_length)


@cases("name", POLICIES)
@settings(max_examples=50)
@given(system=SYSTEM, turns=TALKS, room=st.integers(1, 25))
def test_a_cut_prompt_is_the_newest_part_that_fits_and_begins_as_ever(name, system, turns, room):
    policy, prompt = POLICIES[name], a_talk(system, turns)
    reader = reader_of(policy)
    cut = shortened(prompt, lambda turns: reader.excess(turns, room))
    if cut is None:
        return
    assert cut.key == prompt.key
    head = [turn for turn in prompt.messages if turn.role == "system"]
    assert list(cut.messages[: len(head)]) == head
    first, *rest = cut.messages[len(head) :]
    assert first.role == "user"
    assert rest == list(prompt.messages[len(prompt.messages) - len(rest) :])
    assert prompt.messages[-len(rest) - 1].content.endswith(first.content)
    ids, whole = policy.prompt_ids(cut.messages), policy.prompt_ids(prompt.messages)
    assert 0 < len(ids) <= policy.context_length - room
    assert (ids[0], ids[-1]) == (whole[0], whole[-1])
    if first.content != prompt.messages[-len(rest) - 1].content:
        assert len(ids) == policy.context_length - room  # as much of the words as there is room for


@pytest.mark.parametrize("mode", ["drop", "cut_left"])
@cases("name", POLICIES)
@settings(max_examples=30)
@given(system=SYSTEM, turns=TALKS, chosen=SAID, rejected=SAID)
def test_what_fits_a_policy_is_written_whole(name, mode, system, turns, chosen, rejected):
    policy = POLICIES[name]
    pair = a_pair("sun", chosen, rejected).model_copy(update={"prompt": a_talk(system, turns)})
    reader = reader_of(policy)
    try:
        fitting = fitting_labels([pair], "pairs", [reader], mode)
    except DataError:  # where it is dropped nothing is left
        assert (
            reader.excess(
                pair.prompt.messages, reader.longest(pair.prompt.messages, (chosen, rejected))
            )
            > 0
        )
        return
    (kept,) = fitting.rows
    assert (kept.chosen, kept.rejected) == (chosen, rejected)
    assert (kept == pair) == (not fitting.told.cut)
    for text in (chosen, rejected):
        assert written(policy, kept.prompt.messages, text).length <= policy.context_length


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_a_reward_model_is_known_by_its_folder_alone(name, request, policy_folder):
    folder = policy_folder if name == "gpt2" else request.getfixturevalue("bert")
    model, reader = RewardModel.fresh(folder), Reader.of_reward(folder)
    for length in range(1, 40):
        prompt = a_talk(None, ["sun " * length + "day"]).messages
        fits = reader.excess(prompt, reader.longest(prompt, ["good day"])) <= 0
        assert fits == (not model.read(prompt, "good day")[1])


def test_a_policy_is_known_by_its_folder_alone(policy, policy_folder):
    damage(policy_folder / "model.safetensors")
    reader = Reader.of(policy_folder)
    assert (reader.context, reader.tokenizer.get_vocab()) == (32, policy.tokenizer.get_vocab())


def test_prompts_have_to_leave_room_in_every_model(policy):
    prompts = [a_talk(None, ["sun " * length]) for length in (3, 14, 25)]
    other = Reader(policy.tokenizer, 20)
    kept = [
        len(fitting_prompts(prompts, "prompts", readers, 6, "drop").rows)
        for readers in ([reader_of(policy)], [reader_of(policy), other])
    ]
    assert kept == [2, 1]


@pytest.fixture
def call(tmp_path, capsys, policy_folder):
    """A command on the tiny policy whose files hold these rows; what it said, and its events."""

    def call(command, inputs, *options, status=0):
        folder, named = tmp_path / "run", []
        for role, rows in inputs.items():
            path = tmp_path / f"{role}.jsonl"
            path.write_text("\n".join(json.dumps(row) for row in rows))
            named += [f"--{role}", str(path)]
        model = "--backbone" if command == "reward" else "--policy"
        told = [command, model, str(policy_folder), *named, *map(str, options)]
        assert main([*told, "--output", str(folder)]) == status
        path = folder / "events.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return capsys.readouterr(), [parse_event(line) for line in lines]

    return call


RULE = ["--reward-weight=0", "--rule=contains", "--rule-text=sun"]
LOOP = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()] + RULE
PROMPTS = {"prompts": [{"prompt": text} for text in (*FEW[:15], LONG)]}
PAIRS = {"pairs": [{"prompt": p, "chosen": "good", "rejected": "bad"} for p in (*FEW[:15], LONG)]}
SAYS = [{"prompt": p, "completion": "good", "label": p < "day"} for p in (*FEW[:15], LONG)]
COMMANDS = {
    "reward": (PAIRS, ["--epochs=1"], 32),
    "prefer": (PAIRS, [], 32),
    "prefer thumbs": ({"thumbs": SAYS}, ["--loss=kto"], 32),
    "sft": ({"demonstrations": SAYS}, ["--epochs=1"], 32),
    "align": (PROMPTS, [*LOOP, "--steps=1"], 32),
    "population": (
        PROMPTS,
        [o for o in LOOP if "completions-per" not in o] + ["--steps=1", "--divergences=le_cam,reverse_kl"],
        32,
    ),
    "generate": (PROMPTS, ["--max-new-tokens=4"], 32),
    "evaluate": (PROMPTS, ["--judged-by=none", "--max-new-tokens=4"], 32),
}  # fmt: skip


def options_of(name, policy_folder):
    inputs, options, _ = COMMANDS[name]
    more = []
    if name == "evaluate":
        reward = policy_folder.with_name("reward")
        reward.mkdir()
        RewardModel.fresh(policy_folder).save(reward)
        more = ["--reference", policy_folder, "--reward", reward]
    return name.split()[0], inputs, *options, *more


def damage(path):
    """Weights that no model is loaded from: none is a number, which only loading finds out."""
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    path.write_bytes(whole[:start] + b"\xff" * (len(whole) - start))


@pytest.mark.parametrize("name", COMMANDS)
def test_long_rows_are_refused_before_a_model_is_loaded(call, policy_folder, name):
    told = options_of(name, policy_folder)
    damage(policy_folder / "model.safetensors")
    shown, _ = call(*told, "--overlong=refuse", status=3)
    assert "1 of 16 rows" in shown.err
    assert "does not fit a context of 32 tokens" in shown.err
    assert "cut_left" in shown.err


@pytest.mark.parametrize("mode", ["drop", "cut_left"])
@cases("name", COMMANDS)
def test_long_rows_are_counted_on_the_terminal_in_the_events_and_in_the_summary(
    call, policy_folder, name, mode, monkeypatch
):
    monkeypatch.setattr(evaluation, "TARGET_COMPLETIONS", 8)
    shown, events = call(*options_of(name, policy_folder), f"--overlong={mode}")
    assert isinstance(events[0], Fitted)  # before Ready, which a loaded model is
    done = "dropped" if mode == "drop" else "cut"
    assert f"16 read, 1 {done}, as too long for a context of 32 tokens" in shown.err
    (counts,) = events[-1].summary["rows"]
    assert (counts["read"], counts["cut"] + counts["dropped"], counts[done]) == (16, 1, 1)


def test_rows_of_which_none_fits_are_refused_whatever_is_asked(call):
    for mode in ("drop", "cut_left"):
        long = [{"prompt": p, "chosen": LONG, "rejected": "bad"} for p in FEW]
        shown, _ = call("prefer", {"pairs": long}, f"--overlong={mode}", status=3)
        assert "None of 25 rows of pairs fits a context of 32 tokens" in shown.err
