"""Policies from pairs and from demonstrations, by the trainer's own way in."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from pydantic import ValidationError
from tokenizers.processors import TemplateProcessing

from alignment.kinds import KINDS
from alignment.kinds.prefer.run import (
    losses,
    measures,
    mismatched,
    pairs_of,
    preference_step,
    sides_of,
    thumb_step,
    thumbs_of,
)
from alignment.kinds.prefer.settings import PreferConfig
from alignment.kinds.settings.divergences import OFFLINE
from alignment.kinds.sft.run import imitation_step, with_template
from alignment.kinds.sft.settings import SftConfig
from alignment.kinds.spec import RunSpec
from alignment.maths.divergences import DIVERGENCES
from alignment.maths.preferences import Sides, kto_losses
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of, written, written_turns
from alignment.models.training import scored
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.records import (
    DemonstrationRecord,
    Message,
    PromptRecord,
    ThumbRecord,
    write_jsonl,
)
from alignment.trainer import runner
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_pair as pair
from tests.cases import cases

WORDS = ["day", "night", "sun", "rain"]
QUICK = {"batch": 8, "held_out": 0.3, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def pairs():
    """Answers with "good" are better than those with "bad"."""
    prompts = [" ".join(pick) for pick in product(WORDS, repeat=2)]
    return [pair(p, f"{w} good", f"{w} bad {w}") for p, w in product(prompts, WORDS[:2])]


@pytest.fixture
def run(policy_folder, tmp_path, pairs):
    def start(kind, records=pairs, **config):
        names = {DemonstrationRecord: "demonstrations", ThumbRecord: "thumbs"}
        name = names.get(type(records[0]), "pairs")
        write_jsonl(tmp_path / "rows.jsonl", records)
        inputs = {"policy": str(policy_folder), "reference": str(policy_folder)}
        inputs[name] = "rows.jsonl"
        spec = RunSpec(kind=kind, run=1, epoch=1, config=QUICK | config, inputs=inputs)
        return list(runner(kind)(spec, tmp_path))

    return start


METHODS = [{"loss": "ipo"}, {"loss": "kto"}, *({"divergence": name} for name in OFFLINE)]


@cases("method", METHODS, ids=str)
def test_labels_teach_the_policy(run, method):
    events = run("prefer", epochs=6, **method)
    accuracy = events[-1].summary["accuracy"]
    assert accuracy["value"] > 0.9
    assert accuracy["n"] < events[-1].summary["pairs_heldout"]


def test_the_result_prefers_what_was_chosen(run, tmp_path, policy):
    run("prefer", epochs=4)
    after = Policy.load(tmp_path / "output")
    prompt = (Message(role="user", content="sun a"),)
    rows = [written(policy, prompt, text) for text in ("day good", "day bad day")]
    before, now = (scored(one, rows) for one in (policy, after))
    assert now[0] - now[1] > before[0] - before[1] + 1


def test_steps_and_totals_agree(run):
    events = run("prefer", epochs=2)
    steps = [event for event in events if event.type == "step"]
    assert events[0].total_steps == steps[-1].total == len(steps)
    assert steps[0].metrics["preference/margin"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", [*DIVERGENCES])
def test_divergences_that_labels_cannot_serve_are_refused(name):
    if name in OFFLINE:
        assert PreferConfig(divergence=name).divergence == name
    else:
        with pytest.raises(ValidationError, match="take reverse_kl, forward_kl"):
            PreferConfig(divergence=name)


def test_every_loss_of_a_pair_by_hand(policy):
    u, v, kl = torch.tensor([2.0]), torch.tensor([-1.0]), torch.tensor(0.5)
    sides = Sides(u, v, -u, v, torch.tensor([2.0]), torch.tensor([4.0]))
    found = {n: losses(sides, kl, PreferConfig(loss=n)).item() for n in ("f_dpo", "ipo", "kto")}
    kto = (torch.sigmoid(torch.tensor([-0.15, -0.15]))).mean().item()
    assert found == pytest.approx({"f_dpo": 0.554355, "ipo": 4.0, "kto": kto}, rel=1e-5)


def test_a_step_s_loss_is_of_the_chosen_tokens_too(policy, pairs):
    """As a policy that reads one row at once has it, so in parts: a mean over all tokens, not over pairs."""
    other, config = tiny_policy(seed=3), PreferConfig(loss="orpo", beta=0.4)
    some = pairs_of(policy, [pairs[0], pair("sun day", "good good good night", "bad")])
    found = sides_of(other, some)
    nll = -found.chosen_logps.sum() / sum(len(one.chosen.completion) for one in some)
    expected = nll + losses(found, torch.zeros(()), config).mean()
    parts = list(preference_step(other, policy, some, config)([0, 1]))
    torch.testing.assert_close(sum(loss for loss, _ in parts), expected)


@cases("loss", ["hinge", "simpo", "orpo"])
def test_each_loss_teaches_the_policy(run, loss):
    told = run("prefer", loss=loss, epochs=3, beta=2 if loss == "simpo" else 0.5)[-1].summary
    assert told["accuracy"]["value"] > 0.9
    assert told["loss"] == loss


def test_the_reference_is_asked_once_and_right(policy, pairs):
    (one, *_) = pairs_of(policy, pairs[:3])
    logps = completion_token_logps(policy.model, rollouts_of(policy, [one.chosen]))
    assert one.chosen_reference == pytest.approx(logps.sum().item(), abs=1e-5)
    assert one.chosen.completion[-1] == policy.turn_end


def test_mismatched_completions_are_those_of_other_prompts(policy, pairs):
    other, places = tiny_policy(seed=3), [0, 5, 10]
    some = [one.chosen for one in pairs_of(policy, [pairs[place] for place in places])]
    nexts = zip(places, [5, 10, 0], strict=True)
    rows = [written(policy, pairs[j].prompt.messages, pairs[i].chosen) for i, j in nexts]
    expected = (scored(other, rows) - scored(policy, rows)).mean()
    torch.testing.assert_close(mismatched(other, policy, some), expected)


@pytest.fixture(scope="module")
def thumbs(pairs):
    """One of each pair's sides, liked where it was chosen."""
    liked = [ThumbRecord(prompt=p.prompt, completion=p.chosen, good=True) for p in pairs[::2]]
    sides = [ThumbRecord(prompt=p.prompt, completion=p.rejected, good=False) for p in pairs[1::2]]
    return liked + sides


def test_thumbs_teach_the_policy(run, thumbs):
    events = run("prefer", thumbs, loss="kto", epochs=6)
    summary = events[-1].summary
    assert summary["accuracy"]["value"] > 0.9
    assert summary["thumbs_train"] + summary["thumbs_heldout"] == len(thumbs)
    before = run("prefer", thumbs, loss="kto", epochs=1, learning_rate=1e-9)[-1].summary
    assert summary["kto"]["high"] < before["kto"]["low"]


def test_the_loss_of_thumbs_is_that_of_their_log_ratios(policy, thumbs):
    other, config = tiny_policy(seed=3), PreferConfig(loss="kto", beta=0.3)
    some = thumbs_of(policy, [thumbs[0], thumbs[-1], thumbs[3]])
    rows = [thumb.row for thumb in some]
    kl = mismatched(other, policy, rows)
    ratios, good = scored(other, rows) - scored(policy, rows), torch.tensor([True, False, True])
    ((loss, metrics),) = thumb_step(other, policy, some, config)([0, 1, 2])
    torch.testing.assert_close(loss, kto_losses(ratios, good, kl, 0.3).mean())
    assert metrics["kl/mismatched"] == pytest.approx(kl.item())


def test_a_completion_is_compared_beside_another_prompt(policy):
    other = tiny_policy(seed=3)
    asked = [("sun", "day"), ("sun", "night"), ("rain", "good")]
    rows = [written(policy, (Message(role="user", content=c),), text) for c, text in asked]
    swapped = [replace(rows[i], prompt=rows[j].prompt) for i, j in ((0, 2), (1, 2), (2, 0))]
    expected = (scored(other, swapped) - scored(policy, swapped)).mean()
    torch.testing.assert_close(mismatched(other, policy, rows), expected)
    assert mismatched(other, policy, rows[:2]) == 0
    assert mismatched(other, policy, rows[:1]) == 0


@pytest.mark.parametrize("divergence", OFFLINE)
def test_the_held_out_loss_is_of_the_divergence_that_was_trained(policy, pairs, divergence):
    other = tiny_policy(seed=3)
    some = pairs_of(policy, pairs[:6])
    found = measures(other, some, config := PreferConfig(divergence=divergence, beta=0.7))
    expected = losses(sides_of(other, some), torch.zeros(()), config)
    keys = {pair.key for pair in some}
    by_prompt = [
        [x for x, p in zip(expected.tolist(), some, strict=True) if p.key == k] for k in keys
    ]
    means = [sum(row) / len(row) for row in by_prompt]
    assert found["nll"]["value"] == pytest.approx(sum(means) / len(means), rel=1e-5)


def test_thumbs_are_for_kto_and_of_both_kinds(run, thumbs):
    with pytest.raises(ConfigError, match="KTO alone"):
        run("prefer", thumbs)
    with pytest.raises(DataError, match="liked and others that were not"):
        run("prefer", thumbs[:4], loss="kto")


def demonstrations(pairs):
    return [DemonstrationRecord(prompt=p.prompt, completion=p.chosen) for p in pairs]


def test_imitation_raises_the_likelihood_of_held_out_completions(run, pairs):
    before = run("sft", demonstrations(pairs), epochs=1, learning_rate=1e-9)[-1].summary["nll"]
    after = run("sft", demonstrations(pairs), epochs=8)[-1].summary["nll"]
    assert after["high"] < before["low"]


def test_the_chosen_sides_of_pairs_are_imitated_each_once(run, pairs):
    summary = run("sft", [*pairs, pairs[0]], epochs=1)[-1].summary
    assert summary["demonstrations_train"] + summary["demonstrations_heldout"] == len(pairs)


def test_only_completions_count(policy):
    """The gradient is that of the completions' log-probabilities alone, by a plain forward."""
    rows = [written(policy, (Message(role="user", content="sun rain"),), "good day")]
    policy.model.requires_grad_(True)
    ((loss, _),) = imitation_step(policy, rows)([0])
    ids = torch.tensor([[*rows[0].prompt, *rows[0].completion]])
    logps = policy.model(ids).logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[0, :, 0]
    torch.testing.assert_close(loss, -logps[len(rows[0].prompt) - 1 :].mean())


CHAT = "{% for m in messages %}<|{{ m['role'] }}|> {{ m['content'] }} {% if m['role'] == 'assistant' %}<|end|> {% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
TALK = [
    ("user", "sun"),
    ("assistant", "day good"),
    ("user", "rain"),
    ("assistant", "a b"),
    ("user", "now"),
]


def of_turns(said):
    return tuple(Message(role=role, content=content) for role, content in said)


def each_turn(policy):
    """Every answer of the talk as a row of its own."""
    asked = [(TALK[:1], "day good"), (TALK[:3], "a b"), (TALK, "night")]
    return [written(policy, of_turns(turns), answer) for turns, answer in asked]


def test_all_turns_are_learned_in_one_row_as_they_would_be_each_in_its_own(policy):
    policy.tokenizer.chat_template = CHAT
    (row,) = written_turns(policy, of_turns(TALK), "night")
    alone = each_turn(policy)
    assert row.learned == sum(one.learned for one in alone) < len(row.completion)
    ((loss, _),) = imitation_step(policy, [row])([0])
    torch.testing.assert_close(loss, -scored(policy, alone).sum() / row.learned)


def test_a_turn_that_is_read_otherwise_later_is_a_row_of_its_own(policy):
    """The usual template of the tests writes no end behind an answer that is not the last."""
    rows = written_turns(policy, of_turns(TALK), "night")
    assert rows == each_turn(policy)
    talk = written_turns(policy, of_turns([("assistant", "day"), *TALK[2:]]), "night")
    assert len(talk) == 2  # nobody asked for the first


def test_earlier_turns_are_learned_where_that_is_asked(run):
    asked = [
        PromptRecord(key=f"{place:064x}", messages=of_turns(TALK))
        for place in range(0, 2**40, 2**35)
    ]
    rows = [DemonstrationRecord(prompt=prompt, completion="night") for prompt in asked]
    totals = [
        run("sft", rows, turns=turns, epochs=1, held_out=0)[0].total_steps
        for turns in ("last", "all")
    ]
    assert totals == [4, 12]


def test_a_template_stays_with_the_model(run, pairs, tmp_path):
    template = 'now "please"\n{prompt}\nb'
    run("sft", demonstrations(pairs), epochs=1, prompt_template="custom", custom_template=template)
    policy = Policy.load(tmp_path / "output")
    ids = policy.prompt_ids([Message(role="user", content="sun's day")])
    rendered = policy.tokenizer.apply_chat_template(
        [{"role": "user", "content": "sun's day"}], tokenize=False, add_generation_prompt=True
    )
    assert rendered == template.replace("{prompt}", "sun's day")
    assert policy.text(ids).startswith("now")


def test_alpaca_s_template_writes_every_turn(policy):
    """Typed from the prompt of Alpaca for instructions without input, but for its preamble."""
    tokenizer = with_template(policy, SftConfig(prompt_template="alpaca")).tokenizer
    said = [("system", "be good"), ("user", "sun"), ("assistant", "day"), ("user", "rain")]
    turns = [{"role": role, "content": content} for role, content in said]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert rendered == (
        "be good\n\n### Instruction:\nsun\n\n### Response:\nday\n\n"
        "### Instruction:\nrain\n\n### Response:\n"
    )


def test_a_template_begins_as_the_tokenizer_begins(policy):
    tokenizer = policy.tokenizer
    tokenizer.chat_template = None
    mark = tokenizer.eos_token
    tokenizer.add_special_tokens({"bos_token": mark})
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single=f"{mark} $A", pair=f"{mark} $A $B", special_tokens=[(mark, tokenizer.eos_token_id)]
    )
    before = policy.prompt_ids([Message(role="user", content="sun")])
    with_template(policy, SftConfig(prompt_template="custom", custom_template="{prompt} b"))
    after = policy.prompt_ids([Message(role="user", content="sun")])
    assert before[0] == after[0] == tokenizer.eos_token_id
    assert tokenizer.eos_token_id not in after[1:]


def test_a_template_without_a_place_is_refused():
    with pytest.raises(ValidationError, match="once"):
        SftConfig(prompt_template="custom", custom_template="Answer:")


def test_nothing_to_imitate_is_a_refusal(run, pairs):
    empty = [DemonstrationRecord(prompt=pairs[0].prompt, completion=" ")]
    with pytest.raises(DataError, match="0 completions"):
        run("sft", empty)


def test_a_foreign_reference_is_refused(run, tmp_path, policy_folder, pairs):
    other = tiny_policy(vocabulary=17)
    other.tokenizer.add_tokens(["snow"])
    other.save(tmp_path / "other")
    write_jsonl(tmp_path / "rows.jsonl", pairs)
    inputs = {"policy": str(policy_folder), "reference": "other", "pairs": "rows.jsonl"}
    spec = RunSpec(kind="prefer", run=1, epoch=1, config={}, inputs=inputs)
    with pytest.raises(ConfigError, match="different tokenizers"):
        list(runner("prefer")(spec, tmp_path))


def test_a_prompt_and_a_completion_that_do_not_fit_are_never_cut_in_silence(policy):
    with pytest.raises(DataError, match="123 tokens, and the model reads 32"):
        written(policy, (Message(role="user", content="sun " * 60),), "day " * 60)


def test_both_kinds_are_kinds_of_run():
    assert {"sft", "prefer"} <= set(KINDS)
