"""The command line: from files in TRL's formats to models, by the same settings as everywhere."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alignment.__main__ import main
from alignment.command_line.options import (
    COMMANDS,
    GGUF,
    OF_A_RUN,
    OWN_CODE,
    RECEIPTS,
    ROLES,
    roles_of,
    settings_of,
)
from alignment.kinds import KINDS
from alignment.kinds.evaluate import run as evaluation
from alignment.kinds.spec import RunSpec
from alignment.models.policies import Policy
from alignment.seam.events import CheckpointSaved, Finished, Ready, parse_event
from alignment.seam.folders import verify
from alignment.seam.records import PromptRecord, read_jsonl
from tests.alignment.test_loop import SMALL

WORDS = ["day", "night", "sun", "rain"]
ASKED = [f"{one} {other}" for one in WORDS for other in WORDS]
ALIGN = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]


@pytest.fixture
def rows(tmp_path):
    """A file of rows, one for each prompt."""

    def write(name, row_of):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(json.dumps(row_of(prompt)) for prompt in ASKED))
        return str(path)

    return write


@pytest.fixture
def prompts(rows):
    return rows("prompts", lambda prompt: {"prompt": prompt})


@pytest.fixture
def pairs(rows):
    return rows("pairs", lambda p: {"prompt": p, "chosen": "good good", "rejected": "bad"})


@pytest.fixture
def call(tmp_path, capsys):
    """Run a command; the lines of what it printed, and its run folder's events."""

    def call(command, *options, status=0, output="run"):
        folder = tmp_path / output
        assert main([command, *map(str, options), "--output", str(folder)]) == status
        path = folder / "events.jsonl"
        found = path.read_bytes().splitlines() if path.exists() else []
        return capsys.readouterr(), [parse_event(line) for line in found]

    return call


def test_a_starter_is_trained_from_nothing(call, tmp_path):
    tiny = {"documents": 100, "layers": 1, "width": 16, "heads": 2, "vocabulary": 400, "steps": 2}
    shown, events = call("pretrain", *(f"--{name}={value}" for name, value in tiny.items()))
    assert shown.out.splitlines() == [str(tmp_path / "run" / "output")]
    assert isinstance(events[-1], Finished)
    assert Policy.load(tmp_path / "run" / "output").context_length == 128


def test_a_model_learns_a_file_of_documents(call, tmp_path):
    (tmp_path / "c.txt").write_text("\n".join(f"sun {n} moon" for n in range(12)))
    new = {"source": "file", "document": "line", "layers": 1, "width": 16, "heads": 2}
    options = [f"--{name}={value}" for name, value in new.items()]
    shown, _ = call("pretrain", *options, status=3)
    assert "need a corpus" in shown.err
    options += [f"--corpus={tmp_path / 'c.txt'}", "--context=32", "--vocabulary=300"]
    _, events = call("pretrain", *options)
    assert events[-1].summary["documents"] + events[-1].summary["documents_heldout"] == 12
    shown, _ = call("pretrain", "--source=file", f"--corpus={tmp_path}", status=3, output="other")
    assert "is not a file" in shown.err


def test_a_policy_imitates_a_file(call, rows, policy_folder):
    file = rows("demos", lambda p: {"prompt": p, "completion": "good"})
    _, events = call("sft", "--policy", policy_folder, "--demonstrations", file, "--epochs", 1)
    summary = events[-1].summary
    assert summary["demonstrations_train"] + summary["demonstrations_heldout"] == len(ASKED)


def test_a_policy_learns_preferences(call, pairs, policy_folder, tmp_path):
    _, events = call("prefer", "--policy", policy_folder, "--pairs", pairs, "--loss", "ipo")
    assert events[-1].summary["loss"] == "ipo"
    spec = RunSpec.load(tmp_path / "run")
    assert spec.inputs["reference"] == spec.inputs["policy"] == str(policy_folder)


def test_a_policy_learns_from_thumbs(call, rows, policy_folder):
    row = {"completion": "good"}
    file = rows("thumbs", lambda p: row | {"prompt": p, "label": p < "rain"})
    _, events = call("prefer", "--policy", policy_folder, "--thumbs", file, "--loss", "kto")
    assert events[-1].summary["thumbs_train"] > 0


def test_from_a_reward_model_to_an_aligned_policy_and_its_evaluation(
    call, pairs, prompts, policy_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(evaluation, "TARGET_COMPLETIONS", 8)
    call("reward", "--backbone", policy_folder, "--pairs", pairs, "--epochs", 1, output="reward")
    models = ["--policy", policy_folder, "--reward", tmp_path / "reward", "--prompts", prompts]
    shown, events = call(
        "align", *models, *ALIGN, "--max-prompts", 4, "--seed", 3, output="aligned"
    )
    assert shown.err.splitlines()[:2] == [
        "prompts.jsonl: 16 rows read, 16 prompts.",
        "The first 4 of 16 prompts take part; --max-prompts changes it.",
    ]
    assert isinstance(events[-1], Finished)
    assert RunSpec.load(tmp_path / "aligned").seed == 3
    models[1] = tmp_path / "aligned"
    judge = ["--reference", policy_folder, "--judged-by", "none", "--max-new-tokens", 6]
    _, events = call("evaluate", *models, *judge, output="scores")
    assert events[-1].summary["kl_reference"]["n"] == len(ASKED)


SCORED = "def score(completions, answer):\n    return [a in c for a, c in zip(answer, completions, strict=True)]\n"


@pytest.mark.slow
def test_a_function_of_ones_own_aligns_by_the_columns_of_the_prompts(
    call, rows, policy_folder, tmp_path, monkeypatch
):
    (tmp_path / "mine.py").write_text(SCORED)
    monkeypatch.chdir(tmp_path)
    file = rows("prompts", lambda p: {"prompt": p, "answer": p.split()[0], "Level": 3})
    asked = ["--policy", policy_folder, "--prompts", file, *ALIGN, "--steps", 2]
    shown, events = call("align", *asked, "--reward-function", "mine.py:score")
    assert shown.err.splitlines()[0] == "prompts.jsonl: 16 rows read, 16 prompts."
    config = RunSpec.load(tmp_path / "run").config
    assert (config["code_weight"], config["reward_weight"]) == (1.0, 0.0)
    record = next(read_jsonl(tmp_path / "run" / "inputs" / "prompts.jsonl", PromptRecord))
    assert json.loads(record.columns) == {"answer": "day", "level": 3}
    assert events[-1].summary["part_reward"]["value"] == events[-1].summary["reward"]["value"]
    models = ["--policy", tmp_path / "run", "--reference", policy_folder, "--prompts", file]
    short = ["--judged-by", "none", "--max-new-tokens", 6]
    _, events = call(
        "evaluate", *models, *short, "--reward-function", "mine.py:score", output="scores"
    )
    assert "part_reward_after" in events[-1].summary


def test_a_command_of_ones_own_aligns(call, prompts, policy_folder, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import json, sys\nfor line in sys.stdin:\n"
        "    row = json.loads(line)\n    print(len(row['completion']), flush=True)\n"
    )
    program = f"{sys.executable} {tmp_path / 'mine.py'}"
    asked = ["--policy", policy_folder, "--prompts", prompts, *ALIGN, "--steps", 1]
    _, events = call("align", *asked, "--reward-command", program, "--code-weight", 0.1)
    summary = events[-1].summary
    assert summary["part_reward"]["value"] == pytest.approx(10 * summary["reward"]["value"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--reward-function", "mine.py"], "names no function"),
        (["--reward-function", "nowhere.py:score"], "is not a file"),
        (["--reward-command", " "], "is empty"),
        (["--reward-command", "'"], "No closing quotation"),
        (["--reward-command", "x", "--reward-function", "y:z"], "leave --reward-command out"),
        (["--code-weight", 1, "--reward-weight", 0], "names no reward from code"),
        (["--reward-function", "mine.py:score"], "prompt 1 (“day day”): it raised ValueError: no"),
    ],
)
def test_code_that_cannot_be_used_is_refused(
    call, prompts, policy_folder, tmp_path, monkeypatch, options, reason
):
    (tmp_path / "mine.py").write_text("def score(completions):\n    raise ValueError('no')\n")
    monkeypatch.chdir(tmp_path)
    asked = ["--policy", policy_folder, "--prompts", prompts, *ALIGN]
    shown, _ = call("align", *asked, *options, status=3)
    assert reason in shown.err


def test_what_was_generated_is_learned_from(call, prompts, policy_folder, tmp_path):
    files = ["--policy", policy_folder, "--prompts", prompts]
    size = ["--completions-per-prompt", 8, "--max-new-tokens", 6]
    call("generate", *files, *size, output="answers")
    stored = ["--completions", tmp_path / "answers" / "completions.jsonl", "--stored-share", 0.5]
    rule = ["--reward-weight", 0, "--rule", "contains", "--rule-text", "sun"]
    asked = [*files, *stored, *rule, *ALIGN, "--completions-per-prompt", 2]
    shown, _ = call("align", *asked, status=3, output="refused")
    assert "take the surrogate" in shown.err
    _, events = call("align", *asked, "--estimator", "surrogate", output="aligned")
    assert events[-1].summary["stored_completions"] >= 2


def test_a_reward_model_learns_from_every_kind_of_label(call, rows, policy_folder):
    file = rows(
        "ratings", lambda p: {"prompt": p, "completion": "good", "rating": 1 + (p < "rain")}
    )
    models = ["--backbone", policy_folder, "--pairs", file]
    _, events = call("reward", *models, "--epochs", 1)
    assert events[-1].summary["ratings_train"] > 0


@pytest.mark.slow
def test_a_classifier_learns_from_a_table_and_from_flags(call, rows, policy_folder, tmp_path):
    table = [f"good {n},fine\nbad {n},not" for n in WORDS]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *table]))
    options = [f"--backbone={policy_folder}", f"--texts={tmp_path / 't.csv'}", "--epochs=1"]
    _, events = call("classify", *options, "--source=file", "--held-out=0.4")
    assert events[-1].summary["classes"] == ["fine", "not"]
    judged = rows(
        "judged",
        lambda p: {"prompt": p, "chosen": "good", "rejected": f"bad {p}", "flags": ["false"]},
    )
    options = [f"--backbone={policy_folder}", f"--judged={judged}", "--epochs=1"]
    shown, events = call("classify", *options, "--flag=false", output="other")
    assert events[-1].summary["classes"] == ["other", "false"]
    assert "columns that nothing is made of" not in shown.err
    (tmp_path / "t.csv").write_text("text,label\n,a\n")
    options = [f"--backbone={policy_folder}", f"--texts={tmp_path / 't.csv'}", "--source=file"]
    shown, _ = call("classify", *options, status=3, output="refused")
    assert "line 2, column text: there is no “text”" in shown.err


def test_a_run_that_is_refused_leaves_no_folder(call, prompts, policy_folder, tmp_path):
    shown, _ = call("align", "--policy", policy_folder, "--prompts", prompts, status=3)
    assert "names no reward among its inputs" in shown.err
    assert not (tmp_path / "run").exists()


def test_completions_come_with_their_prompts(call, prompts, policy_folder, tmp_path):
    call("generate", "--policy", policy_folder, "--prompts", prompts, "--max-new-tokens", 4)
    lines = (tmp_path / "run" / "completions.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt"][0]["content"] for line in lines[::2]] == ASKED
    assert verify(tmp_path / "run" / "output")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_setting_and_input(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    kind = COMMANDS[command]
    for name, field in settings_of(kind).items():
        parts = [f"--{name.replace('_', '-')} VALUE {field['title']}: {field['description']} ("]
        default = json.dumps(field["default"]).strip('["]').replace('", "', ",") or "empty"
        choices = ["true | false"] if field["type"] == "boolean" else field.get("enum", [])
        parts += [field["unit"], *field.get("items", {}).get("enum", choices)]
        parts += [f"(default: {default}"]
        assert [part for part in parts if part not in text] == []
    words = {role: OWN_CODE.get(role, "F") for role in roles_of(kind)}
    assert all(f"--{role.replace('_', '-')} {word}" in text for role, word in words.items())


@pytest.mark.parametrize("command", [*COMMANDS, GGUF, RECEIPTS])
def test_the_guide_names_every_command(command):
    guide = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| `")]
    assert any(f"`{command}`" in row for row in rows)


def test_only_what_the_web_app_stores_has_no_option():
    for command, kind in COMMANDS.items():
        hidden = len(KINDS[kind].settings.model_fields) - len(settings_of(kind))
        assert hidden == {
            "generate": 2,
            "sft": 1,
            "prefer": 2,
            "reward": 1,
            "classify": 1,
            "score": 1,
            "measure": 1,
        }.get(command, 0)


@pytest.mark.parametrize("kind", [name for name, one in KINDS.items() if one.command])
def test_no_option_is_called_as_another_is(kind):
    names = [*settings_of(kind), *roles_of(kind), *OF_A_RUN, "resume", "help"]
    assert len(set(names)) == len(names)
    assert set(roles_of(kind)) <= set(ROLES)


@pytest.fixture
def yaml(tmp_path):
    def write(text):
        (tmp_path / "options.yaml").write_text(text)
        return ["--config", tmp_path / "options.yaml"]

    return write


def test_a_yaml_file_holds_inputs_and_settings_and_options_count_more(
    call, yaml, pairs, policy_folder, tmp_path
):
    text = f"policy: {policy_folder}\npairs: {pairs}\nlearning-rate: 1e-4\nbeta: 0.5\nseed: 4\n"
    call("prefer", *yaml(text), "--beta", "0.25")
    spec = RunSpec.load(tmp_path / "run")
    assert (spec.config["learning_rate"], spec.config["beta"], spec.seed) == (1e-4, 0.25, 4)


@pytest.mark.parametrize(("said", "status"), [("true", 0), ("false", 3), ("maybe", 3)])
def test_a_yaml_file_says_whether_bad_rows_are_left_out(
    call, yaml, rows, policy_folder, said, status
):
    file = rows("demos", lambda p: {"prompt": p} | ({} if p == "sun rain" else {"completion": "a"}))
    options = [*yaml(f"leave-bad-rows-out: {said}\nepochs: 1"), "--demonstrations", file]
    shown, events = call("sft", "--policy", policy_folder, *options, status=status)
    assert len(events) > 0 or status
    words = {
        "true": "15 demonstrations, 1 left out",
        "false": "demos.jsonl, line 12: ",
        "maybe": "is true or",
    }
    assert words[said] in shown.err


def test_chosen_answers_without_words_are_not_imitated_and_counted(call, rows, policy_folder):
    file = rows(
        "pairs", lambda p: {"prompt": p, "chosen": "good" if p > "rain" else "", "rejected": "a"}
    )
    _, events = call("sft", "--policy", policy_folder, "--pairs", file, "--epochs", 1)
    assert events[-1].summary["demonstrations_without_words"] == sum(p <= "rain" for p in ASKED)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lerning_rate: 1", "there is no “lerning_rate”; did you mean “learning_rate”?"),
        ("labels: train", "there is no “labels”."),
        ("- beta", "holds no options"),
        ("beta: [", "cannot be read"),
        ("beta: 0", "--beta: Input should be greater than 0"),
        ("seed: x", "--seed is a whole number"),
    ],
)
def test_a_wrong_file_of_options_is_refused(
    call, yaml, text, reason, policy_folder, pairs, tmp_path
):
    models = ["--policy", policy_folder, "--pairs", pairs]
    shown, _ = call("prefer", *yaml(text), *models, status=3)
    assert reason in shown.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--divergence", "revers_kl"], "did you mean “reverse_kl”?"),
        (["--divergence", "pearson_chi2"], "with pearson_chi2 pairs do not decide the policy"),
        (["--beta", "much", "--epochs", "0"], "; --epochs: Input should be greater than or equal"),
        ([], "Say with --pairs or --thumbs or --rankings what to work on."),
        (["--pairs", "gone.jsonl"], "--pairs: gone.jsonl cannot be read"),
        (
            ["--pairs", "gone.jsonl", "--evaluation", "gone.jsonl"],
            "Nothing reads --evaluation with these settings",
        ),
        (["--pairs", "", "--reference", "nowhere"], "--reference: nowhere is not a folder."),
    ],
)
def test_a_wrong_option_is_refused(call, options, reason, policy_folder, tmp_path):
    shown, _ = call("prefer", "--policy", policy_folder, *options, status=3)
    assert reason in shown.err
    assert not (tmp_path / "run").exists()


def test_several_choices_are_given_with_commas(call, policy_folder):
    models = ["--policy", policy_folder, "--divergences"]
    shown, _ = call("population", *models, "le_cam,revers_kl", status=3)
    assert shown.err.startswith("config: --divergences: Input should be")
    assert "did you mean “reverse_kl”?" in shown.err
    shown, _ = call("population", *models, "le_cam,reverse_kl", status=3)
    assert "Say with --prompts" in shown.err


def test_an_unknown_option_names_the_nearest(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["align", "--learning_rate=1"])
    assert (
        "there is no --learning_rate=1; did you mean “--learning-rate”?" in capsys.readouterr().err
    )


def test_what_would_warp_the_sampler_of_an_objective_is_refused_with_the_reason(capsys):
    for option in ("--top-p=0.9", "--repetition-penalty=1.2", "--stop-strings=x"):
        with pytest.raises(SystemExit, match="2"):
            main(["align", option])
        assert f"there is no {option}: it weighs completions by the" in capsys.readouterr().err


def test_a_wrong_row_is_refused_by_its_line(call, policy_folder, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "sun"}\n{"text": "sun"}\n')
    options = ["--policy", policy_folder, "--prompts", tmp_path / "rows.jsonl"]
    shown, _ = call("generate", *options, status=3)
    assert shown.err.startswith("data: rows.jsonl, line 2: there is no “prompt”")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_in_use_is_left_alone(call, prompts, policy_folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    shown, _ = call("generate", "--policy", policy_folder, "--prompts", prompts, status=3)
    assert "is not empty" in shown.err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_without_an_output_runs_are_numbered(prompts, policy_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--policy", str(policy_folder), "--prompts", prompts, "--max-new-tokens", "1"]
    for number in (1, 2):
        assert main(["generate", *options]) == 0
        assert capsys.readouterr().out == f"runs/generate-{number}/output\n"


@pytest.mark.slow
def test_a_run_is_resumed_from_its_newest_checkpoint(call, prompts, policy_folder, tmp_path):
    rule = ["--reward-weight", 0, "--rule", "contains", "--rule-text", "sun"]
    models = ["--policy", policy_folder, "--prompts", prompts, *ALIGN, *rule]
    _, whole = call("align", *models, output="whole")
    _, events = call("align", *models)
    saved = [event.path for event in events if isinstance(event, CheckpointSaved)]
    torn = tmp_path / "run" / "ckpt-000999"
    shutil.copytree(tmp_path / "run" / saved[-1], torn)
    (torn / "state.json").write_text("{}")
    for path in (tmp_path / "run" / "output").iterdir():
        path.unlink()
    (tmp_path / "run" / "output").rmdir()
    (tmp_path / "run" / "control.json").write_text('{"stop": "now"}')
    shown, _ = call("align", "--resume", "--beta", 9, status=3)
    assert "began with --beta 0.35; begin a new run" in shown.err
    _, events = call("align", "--resume")
    ready = [event for event in events if isinstance(event, Ready)][-1]
    assert saved[-1] == f"ckpt-{ready.resumed_step:06d}"
    assert events[-1].summary["reward"] == whole[-1].summary["reward"]
    shown, _ = call("align", "--resume", status=3)
    assert "is finished" in shown.err
    shown, _ = call("sft", "--resume", status=3)
    assert "is of kind align" in shown.err


def test_torchrun_starts_run_folders_alone(call, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    shown, _ = call("sft", status=3)
    assert "--processes says how many" in shown.err


def test_there_must_be_a_run_to_resume(call):
    shown, _ = call("align", "--resume", status=3)
    assert "There is no run in" in shown.err


LEVEL = ["--schedule=constant", "--warmup-share=0", "--batch=4", "--held-out=0"]


def test_a_finished_run_is_extended_as_if_it_had_been_longer(call, rows, policy_folder, tmp_path):
    file = rows("demos", lambda p: {"prompt": p, "completion": "good"})
    start = ["--policy", policy_folder, "--demonstrations", file, *LEVEL]
    call("sft", *start, "--epochs=2", output="long")
    call("sft", *start, "--epochs=1", output="bare")
    shown, _ = call("sft", "--extends", tmp_path / "bare", "--epochs=2", status=3)
    assert "has kept no checkpoint" in shown.err
    call("sft", *start, "--epochs=1", "--keep-end=true", output="short")
    short = ["--extends", tmp_path / "short"]
    shown, _ = call("sft", *short, status=3)
    assert "--epochs: say how much longer" in shown.err
    shown, _ = call("sft", *short, "--epochs=2", "--batch=2", status=3)
    assert "--batch: the run that goes on learned with 4" in shown.err
    _, events = call("sft", *short, "--epochs=2")
    (ready,) = (event for event in events if isinstance(event, Ready))
    assert (ready.resumed_step, ready.total_steps) == (4, 8)
    one, other = (load_file(tmp_path / n / "output" / "model.safetensors") for n in ("run", "long"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert RunSpec.load(tmp_path / "run").extends == str(tmp_path / "short")
    assert (tmp_path / "short" / "output").is_dir()


def test_there_must_be_a_run_of_the_kind_to_extend(call, prompts, policy_folder, tmp_path):
    shown, _ = call("sft", "--extends", tmp_path / "none", status=3)
    assert "There is no run in" in shown.err
    call("generate", "--policy", policy_folder, "--prompts", prompts, "--max-new-tokens=1")
    shown, _ = call("sft", "--extends", tmp_path / "run", status=3, output="other")
    assert "is of kind generate" in shown.err


def test_prompts_are_stored_as_records(call, prompts, policy_folder, tmp_path):
    call("generate", "--policy", policy_folder, "--prompts", prompts, "--max-new-tokens", 1)
    stored = read_jsonl(tmp_path / "run" / "inputs" / "prompts.jsonl", PromptRecord)
    assert [record.text for record in stored] == ASKED


def test_receipts_check_the_settings_that_are_given(capsys, tmp_path):
    (tmp_path / "settings.yaml").write_text("divergence: forward_kl\nmust_contain: please")
    assert main(["receipts", "--config", str(tmp_path / "settings.yaml"), "--soften=0.1"]) == 0
    words, figures = capsys.readouterr().out.splitlines()
    assert words.startswith("Exact to")
    assert 0 <= json.loads(figures)["gradient"] < 1e-12


def test_receipts_refuse_what_a_run_would_refuse(capsys):
    assert main(["receipts", "--divergence=reverse_kl", "--must-contain=please"]) != 0
    assert "may break a hard constraint" in capsys.readouterr().err


def test_several_processes_are_refused_where_one_would_compute_alone(call):
    shown, _ = call("evaluate", "--processes", 2, status=3)
    assert "evaluate computes in one process" in shown.err


@pytest.mark.parametrize("seed", [2**31, 10**20])
def test_a_seed_that_torch_does_not_take_is_refused(call, seed):
    shown, _ = call("pretrain", "--seed", seed, status=3)
    assert "32 bits" in shown.err
