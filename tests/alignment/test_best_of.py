"""The best of several completions by a reward model: what is kept, what is noted, how far it leads."""

import math
from collections import Counter

import pytest
import torch
from pydantic import ValidationError
from scipy.stats import chi2

from alignment.__main__ import main
from alignment.kinds.generate.run import generate
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.spec import RunSpec
from alignment.reward.best_of import BestOf, kl_bound
from alignment.reward.model import RewardModel
from alignment.seam.errors import ConfigError
from alignment.seam.records import CandidateRecord, CompletionRecord, read_jsonl, write_jsonl
from tests.alignment.conftest import sealed, tiny_policy
from tests.alignment.rewarding import a_prompt

BEST = {"kept": "best", "best_of": 3, "completions_per_prompt": 2, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A policy, and a reward model with three heads that nothing was learned by."""
    folder = tmp_path_factory.mktemp("models")
    sealed(tiny_policy(), folder / "policy")
    torch.manual_seed(0)
    sealed(RewardModel.fresh(folder / "policy", heads=3), folder / "reward")
    return folder


@pytest.fixture
def made(folders, tmp_path):
    """The last event of a run, what it kept and what it noted."""

    def made(roles=("policy", "reward"), **config):
        write_jsonl(tmp_path / "prompts.jsonl", [a_prompt("sun a"), a_prompt("rain b")])
        inputs = {"prompts": "prompts.jsonl"} | {role: str(folders / role) for role in roles}
        spec = RunSpec(kind="generate", run=1, epoch=1, config=BEST | config, inputs=inputs)
        last = list(generate(spec, tmp_path))[-1]
        output = tmp_path / "output"
        kept = list(read_jsonl(output / "completions.jsonl", CompletionRecord))
        return last.summary, kept, list(read_jsonl(output / "candidates.jsonl", CandidateRecord))

    return made


def test_of_each_three_the_best_is_kept_and_all_are_noted_with_their_scores(made, folders):
    summary, kept, noted = made()
    groups = [noted[start : start + 3] for start in range(0, len(noted), 3)]
    for group in groups:
        assert [one.best for one in group].count(True) == 1
        assert next(one for one in group if one.best).score == max(one.score for one in group)
    best = {(one.prompt_key, one.text) for one in noted if one.best}
    assert {(one.prompt_key, one.text) for one in kept} <= best
    assert len(kept) == 4
    assert all(one.logps is None for one in kept)  # nobody knows that of the best
    assert all(one.logps < 0 for one in noted)
    model = RewardModel.load(folders / "reward")
    asked = {a_prompt(text).key: a_prompt(text).messages for text in ("sun a", "rain b")}
    scores = model.score_texts(
        [asked[one.prompt_key] for one in noted], [one.text for one in noted]
    )
    assert [one.score for one in noted] == pytest.approx(scores.tolist(), abs=1e-5)
    assert summary["kl_bound"] == pytest.approx(math.log(3) - 2 / 3)
    assert summary["score_kept"]["value"] > summary["score_drawn"]["value"]


def test_the_best_of_n_is_as_often_a_text_as_its_rank_says():
    """P(best of n) of a text is F^n less that of those below it: chi squared, at 1e-4."""
    chances, n, draws = {"a": 0.5, "b": 0.3, "c": 0.2}, 3, 4000
    generator = torch.Generator().manual_seed(3)

    class Ranked:
        def score_texts(self, prompts, texts):
            return torch.tensor([float("bca".index(text)) for text in texts])

    def drawn(prompts):
        weights = torch.tensor(list(chances.values()))
        found = torch.multinomial(weights, len(prompts) * n, True, generator=generator).tolist()
        texts = iter("abc"[place] for place in found)
        unknown = {"logps": -1.0, "tokens": 1, "truncated": False}
        return [
            [CompletionRecord(prompt_key=p.key, text=next(texts), **unknown) for _ in range(n)]
            for p in prompts
        ]

    best = BestOf(drawn, Ranked(), n)
    counts = Counter(row[0].text for row in best.draw([a_prompt("sun")] * draws))
    below, squared, kl = 0.0, 0.0, 0.0
    for text in "bca":
        chance = (below + chances[text]) ** n - below**n
        squared += (counts[text] - draws * chance) ** 2 / (draws * chance)
        kl += chance * math.log(chance / chances[text])
        below += chances[text]
    assert chi2.sf(squared, 2) > 1e-4
    assert 0 < kl < kl_bound(n)
    assert kl_bound(1) == 0


def test_without_a_reward_model_it_is_refused(made):
    with pytest.raises(ConfigError, match="kept by a reward model; name one"):
        made(roles=("policy",))


def test_settings_that_do_not_go_with_it_are_refused():
    for config, words in (
        ({"best_of": 9}, "does not read “Drawn for each one kept”"),
        ({"kept": "best", "tokens": "greedy", "completions_per_prompt": 1}, "keep all"),
        ({"stop_strings": "||"}, "1 to 16 strings"),
        ({"stop_strings": "|".join("abcdefghijklmnopq")}, "1 to 16 strings"),
    ):
        with pytest.raises(ValidationError, match=words):
            GenerateConfig(**config)


def test_stop_strings_are_parted_by_bars_and_may_hold_what_a_line_cannot():
    config = GenerateConfig(stop_strings=r"User:|\n\n| a \| b|\d|\\")
    assert config.stops == ("User:", "\n\n", " a | b", r"\d", "\\")
    assert GenerateConfig().stops == ()


def test_the_command_line_says_the_same(folders, tmp_path):
    rows = tmp_path / "prompts.jsonl"
    rows.write_text('{"prompt": "sun a"}\n{"prompt": "rain b"}\n')
    files = {"policy": folders / "policy", "reward": folders / "reward", "prompts": rows}
    options = [f"--{name}={path}" for name, path in files.items()]
    options += ["--kept=best", "--best-of=2", "--repetition-penalty=1.3", "--stop-strings=sun| a"]
    options += ["--max-new-tokens=5", "--completions-per-prompt=1", f"--output={tmp_path / 'run'}"]
    assert main(["generate", *options]) == 0
    kept = list(read_jsonl(tmp_path / "run/output/completions.jsonl", CompletionRecord))
    assert len(kept) == 2
    assert not any("sun" in one.text or " a" in one.text for one in kept)
    noted = list(read_jsonl(tmp_path / "run/output/candidates.jsonl", CandidateRecord))
    assert {one.text for one in kept} <= {one.text for one in noted if one.best}
