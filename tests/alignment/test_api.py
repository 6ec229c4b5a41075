"""Runs from Python: what the documentation shows, in its order, and what is refused."""

import re
from datetime import date
from pathlib import Path

import pytest

import alignment
from alignment.api import OFFERED, RENAMED
from alignment.kinds import KINDS
from alignment.kinds.score.settings import ScoreConfig
from alignment.kinds.sft.settings import SftConfig
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import Failed, PhaseProgressed, parse_event

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
ASKED = [{"prompt": f"good {n}", "completion": "bad"} for n in ("sun", "rain", "day", "night") * 4]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the examples leave: their names, their folder, and what each printed."""
    place, names, printed = tmp_path_factory.mktemp("python"), {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for example in EXAMPLES:
            said = []
            names["print"] = lambda *words, said=said: said.append(" ".join(map(str, words)))
            exec(compile(example, str(PAGE), "exec"), names)
            printed.append(said)
    return names, place, printed


@pytest.mark.slow
def test_the_examples_run_one_after_another(told):
    names, place, printed = told
    assert all(printed)
    assert printed[0][0].startswith("1 ")
    assert len(names["rewards"]) == 2
    assert {path.name for path in (place / "runs").iterdir()} == {
        "starter", "reward", "aligned", "answers", "evaluation", "longer",
    }  # fmt: skip


@pytest.mark.slow
def test_what_was_tried_is_told_and_gone(told):
    tried = told[0]["tried"].summary
    assert 0 < tried.tried_seconds < tried.whole_seconds
    assert not told[0]["tried"].folder.exists()


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(told):
    _, place, printed = told
    assert printed[-2] == ["[2, 3, 4]"]
    assert (place / "runs" / "longer" / "output" / "model.safetensors").exists()


@pytest.mark.slow
def test_a_misspelt_input_is_named_with_what_is_meant(told):
    assert told[2][-1] == ["config align reads no promts; did you mean “prompts”?"]


def test_the_package_offers_every_kind_by_its_name():
    offered = {RENAMED.get(name, name) for name, kind in KINDS.items() if kind.command}
    assert offered | {"go_on"} == OFFERED.keys()
    assert all(getattr(alignment, name) is OFFERED[name] for name in OFFERED)
    with pytest.raises(AttributeError, match="algin"):
        _ = alignment.algin


def test_events_are_in_the_folder_as_they_were_told(policy_folder, tmp_path):
    run = alignment.sft(
        SftConfig(epochs=1), policy=policy_folder, demonstrations=ASKED, output=tmp_path / "run"
    )
    told = list(run)
    lines = (tmp_path / "run" / "events.jsonl").read_bytes().splitlines()
    assert [parse_event(line) for line in lines] == told
    assert list(run) == []
    assert run.summary.demonstrations_train + run.summary.demonstrations_heldout == 4
    assert next((tmp_path / "run" / "tensorboard").iterdir()).stat().st_size > 0
    assert all(one.done <= one.total for one in told if isinstance(one, PhaseProgressed))


def test_a_run_that_fails_raises_and_says_so_in_its_folder(policy_folder, tmp_path):
    few = [{"prompt": "good", "completion": "bad"}]
    run = alignment.sft(policy=policy_folder, demonstrations=few, output=tmp_path / "run")
    with pytest.raises(DataError, match="1 completions to imitate"):
        run.finish()
    last = parse_event((tmp_path / "run" / "events.jsonl").read_bytes().splitlines()[-1])
    assert isinstance(last, Failed)
    with pytest.raises(ConfigError, match="stopped before"):
        _ = run.summary


def test_rows_are_no_model(tmp_path):
    with pytest.raises(ConfigError, match="reward is a folder"):
        alignment.score(ScoreConfig(), reward=[{"prompt": "good"}], output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


<<<<<<< HEAD
@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        date(2024, 1, 31),
        b"x",
        {("a", 1): 2},
        "\ud800",
        pytest.param(10**5000, id="endless"),
    ],
)
def test_rows_that_json_has_no_words_for_are_named(policy_folder, tmp_path, value):
    rows = [*ASKED, {"prompt": value, "completion": "bad"}]
=======
WORDLESS = {
    "a set": {1, 2},
    "a day": date(2024, 1, 31),
    "bytes": b"x",
    "a name": {("a", 1): 2},
    "digits": 10**5000,
    "half a character": "\ud800",
}


@pytest.mark.parametrize("name", WORDLESS)
def test_rows_that_json_has_no_words_for_are_named(policy_folder, tmp_path, name):
    rows = [*ASKED, {"prompt": WORDLESS[name], "completion": "bad"}]
>>>>>>> breaker
    with pytest.raises(DataError, match=r"(row|line) 17"):
        alignment.sft(policy=policy_folder, demonstrations=rows, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_no_run_cannot_be_gone_on_with(tmp_path):
    with pytest.raises(ConfigError, match="no run"):
        alignment.go_on(tmp_path)
