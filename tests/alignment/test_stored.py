"""Completions that others drew: which of them are read, what they teach, who refuses them."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from alignment.kinds.align.run import spec_inputs, tune
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.spec import RunSpec
from alignment.objectives.fdpg import shifts
from alignment.objectives.problem import begin, prepare
from alignment.objectives.replay import answered_anew, mixed, others
from alignment.objectives.samples import Term, draw
from alignment.objectives.stored import groups, stored
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import Finished, StepDone
from alignment.seam.records import StoredRecord, write_jsonl
from tests.alignment.test_loop import continues, exact_divergence, of, problems, records
from tests.words import WORDS

LEARNS = {"estimator": "surrogate", "stored_share": 0.75, "beta": 0.2, "kl_budget": 999}
SIZES = {"max_new_tokens": 2, "completions_per_prompt": 5}


@pytest.fixture
def problem(policy_folder, tmp_path):
    """A problem whose prompts have an answer of every word, as if its sampler knew no other length."""
    make = problems(policy_folder)

    def told(texts=tuple(WORDS), prompts=None, cut=(), **settings):
        one = make(**SIZES | LEARNS | settings)
        rows = [
            StoredRecord(prompt=prompt, completion=text, truncated=text in cut)
            for prompt in prompts or one.prompts
            for text in texts
        ]
        write_jsonl(tmp_path / "stored.jsonl", rows)
        found = stored(tmp_path / "stored.jsonl", one.reference, one.prompts, one.config)
        return replace(one, stored=found)

    return told


def test_what_the_policy_could_have_drawn_is_read_in_whole_groups(problem):
    texts = [*WORDS[:7], "", "good bad"]  # the last one is too long with its end
    one = problem(texts, prompts=records(8)[4:], cut=WORDS[:1])  # the run knows two of the prompts
    assert [row.place for row in one.stored] == [4] * 5 + [5] * 5
    assert {len(row.text.completion) for row in problem([""] * 5).stored} == {1}
    first = one.reference.tokenizer(WORDS[0])["input_ids"][0]
    assert all(row.text.completion[0] != first for row in one.stored)


def test_too_few_of_every_prompt_are_refused_with_what_would_help(problem):
    with pytest.raises(
        DataError, match="No prompt has 5 stored completions that end within 2 tokens"
    ):
        problem(WORDS[:4])


@torch.no_grad()
def test_they_are_judged_without_asking_who_drew_them(problem):
    one = problem()
    state = begin(one)
    prepare(one, state)
    state.stored = groups(one, state)
    torch.nn.init.normal_(state.policy.model.transformer.wte.weight)  # not the reference any more
    drawn = draw(one, state, [0], Term())
    whole = mixed(one, state, drawn, [0])
    assert (answered_anew(one.config), others(one.config)) == (1, 3)
    assert (whole.u.shape, whole.fresh) == ((4, 5), 5)
    old, places = whole.scored.rows(torch.arange(5, 20)), whole.owners[1:].tolist()
    now = completion_token_logps(state.policy.model, old.rollouts).sum(1).double()
    reference = completion_token_logps(one.reference.model, old.rollouts).sum(1).double()
    rewards = one.reward(one.reference, old.rollouts) / one.config.beta
    log_z = torch.tensor([state.known.z.log_z(one.prompts[place].key) for place in places]).double()
    expected = (now - reference - rewards).view(3, 5) + log_z[:, None]
    torch.testing.assert_close((whole.u + shifts(state, whole))[1:], expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_run_comes_nearer_to_the_target_by_them(problem, tmp_path):
    def left(name, **settings):
        quiet = {"sample_prompts": 0, "checkpoint_every": 1000}
        one = problem(**{"steps": 30, "learning_rate": 3e-3} | quiet | settings)
        one = one if settings["stored_share"] else replace(one, stored=())
        events = list(tune(one, tmp_path / name))
        assert {event.metrics["prompts/skipped"] for event in of(events, StepDone)} == {0}
        assert ("stored_completions" in of(events, Finished)[0].summary) == bool(one.stored)
        assert all("weights/ess" not in event.metrics for event in of(events, StepDone))
        return exact_divergence(one, tmp_path / name / "output") / exact_divergence(one, one.start)

    alone = left("alone", stored_share=0.0, prompts_per_step=1)
    assert left("together", stored_share=0.75, prompts_per_step=4) < 0.7 * alone


def test_a_saved_run_continues_with_them(problem, tmp_path):
    settings = {"sample_prompts": 0, "steps": 6, "updates_per_step": 2}
    continues(lambda: problem(**settings), tmp_path, 3)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"estimator": "score"}, "score estimator needs the log-probabilities"),
        ({"objective": "rloo", "estimator": "score"}, "rloo does not read"),
        ({"replay_share": 0.5}, "a tenth of a step's prompts"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_who_cannot_learn_from_them_refuses(changed, words):
    with pytest.raises(ValidationError, match=words):
        AlignConfig(**LEARNS | changed)


def test_a_share_without_completions_is_refused(tmp_path):
    config = AlignConfig(**LEARNS)
    inputs = {"policy": "p", "reference": "p", "reward": "r", "prompts": "x"}
    with pytest.raises(ConfigError, match="no completions among its inputs"):
        spec_inputs(
            RunSpec(kind="align", run=1, epoch=1, config={}, inputs=inputs), tmp_path, config
        )
