"""What each kind of run reads from the project and leaves in it."""

import pytest

from alignment.kinds import KINDS
from alignment.kinds.generate.settings import TASKS, GenerateConfig
from alignment.kinds.spec import RunSpec
from alignment.seam.folders import committed
from alignment.seam.records import (
    CompletionRecord,
    DemonstrationRecord,
    PairRecord,
    PromptRecord,
    StoredRecord,
    read_jsonl,
    read_labels,
    write_jsonl,
)
from tests.factories import a_completion, a_run, a_worker, again, an_artifact, run_at, some_prompts
from tests.labs import some_labels
from webapp.datasets.models import Preference
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.compare import KIND as COMPARE
from webapp.labeling.models import Completion, Task
from webapp.runs import execution, folders
from webapp.runs.errors import RunError
from webapp.runs.kinds import half_of
from webapp.runs.models import Checkpoint, Run, RunEvent

pytestmark = pytest.mark.once


@pytest.fixture
def generating(project, models):
    config = {"prompts": 4, "labels_per_task": 2}
    a_run(project, "generate", config, inputs={"policy": models["policy"]})
    return execution.claim("runs", a_worker())


def prepared(run):
    """The prompts and the spec of a claimed run's folder."""
    folder = folders.prepare(run)
    return list(read_jsonl(folder / "inputs" / "prompts.jsonl", PromptRecord)), RunSpec.load(folder)


def written(run, folder, texts):
    """An output folder with these completions of each of the run's prompts."""
    prompts, _ = prepared(run)
    with committed(folder / "output") as aside:
        records = (
            CompletionRecord(prompt_key=p.key, text=text, logps=-1.0, tokens=3, truncated=False)
            for p in prompts
            for text in texts
        )
        write_jsonl(aside / "completions.jsonl", records)
    return folder / "output"


def claimed_epoch(run, **columns):
    run_at(run, state="queued", **columns)
    return execution.claim("runs", a_worker())


def test_a_generate_run_leaves_test_prompts_alone(project, models):
    config = {"prompts": 1000}
    a_run(project, "generate", config, inputs={"policy": models["policy"]})
    prompts, _ = prepared(execution.claim("runs", a_worker()))
    kept = project.prompts.exclude(split="test").order_by("key").values_list("key", flat=True)
    assert [prompt.key for prompt in prompts] == list(kept)
    assert len(kept) < project.prompts.count()


def test_a_generate_run_reads_its_policy(generating):
    _, spec = prepared(generating)
    assert spec.inputs["policy"] == str(generating.inputs.get().artifact.path)


@pytest.mark.twice
def test_prompts_without_an_answer_of_the_policy_come_first(generating, project, models):
    answered = project.prompts.for_labels().order_by("key")[0]
    Completion.objects.create(
        prompt=answered, text="a", source="model", model=models["policy"], key="k"
    )
    assert answered.key not in [prompt.key for prompt in prepared(generating)[0]]


def test_known_answers_are_those_that_came_with_held_out_prompts(project, models):
    prompts = list(project.prompts.of_split("test")[:8])
    a_completion(prompts[0], "the best", source="imported", rank=0)
    a_completion(prompts[0], "the second", source="imported", rank=1)
    a_completion(prompts[1], "any", source="imported")
    a_completion(prompts[2], "of a model", source="model")
    better, worse = (a_completion(prompts[3], text, source="imported") for text in ("good", "bad"))
    Preference.objects.create(better=better, worse=worse)
    config = {"known_answers": "given", "judge": "none", "prompts": 8}
    inputs = dict.fromkeys(("policy", "reference"), models["policy"])
    a_run(project, "evaluate", config, inputs=inputs)
    run = execution.claim("runs", a_worker())
    folder = folders.prepare(run)
    path = folder / RunSpec.load(folder).inputs["answers"]
    found = {(row.prompt.key, row.completion) for row in read_jsonl(path, StoredRecord)}
    assert found == {
        (prompts[n].key, text) for n, text in ((0, "the best"), (1, "any"), (3, "good"))
    }


def test_an_alignment_may_look_at_validation_prompts(project, models):
    some_prompts(project, 3, split="validation")
    config = {"evaluate_every": 2, "evaluate_on": "own", "evaluation_prompts": 2}
    inputs = dict.fromkeys(("policy", "reference"), models["policy"]) | {"reward": models["reward"]}
    a_run(project, "align", config, inputs=inputs)
    folder = folders.prepare(execution.claim("runs", a_worker()))
    path = folder / RunSpec.load(folder).inputs["evaluation"]
    looked = [row.key for row in read_jsonl(path, PromptRecord)]
    validation = project.prompts.of_split("validation").values_list("key", flat=True)
    assert looked == list(validation[:2])


def test_an_evaluation_without_the_known_answers_it_asks_for_is_refused(project, models):
    inputs = dict.fromkeys(("policy", "reference"), models["policy"])
    a_run(project, "evaluate", {"known_answers": "given", "judge": "none"}, inputs=inputs)
    with pytest.raises(RunError, match="No held-out prompt came with an answer"):
        folders.prepare(execution.claim("runs", a_worker()))


def test_a_run_that_changes_a_model_reads_training_and_held_out_prompts(project, models):
    config = {"prompts": 8, "held_out_prompts": 8}
    a_run(project, "quantise", config, inputs={"policy": models["policy"]})
    training, spec = prepared(run := execution.claim("runs", a_worker()))
    place = folders.folder_of(run) / spec.inputs["held_out"]
    held = [prompt.key for prompt in read_jsonl(place, PromptRecord)]
    of = {
        split: set(project.prompts.of_split(split).values_list("key", flat=True))
        for split in ("train", "test")
    }
    assert len(training) == 8
    assert {prompt.key for prompt in training} <= of["train"]
    assert len(held) == 8
    assert set(held) <= of["test"]


def test_a_run_that_changes_a_model_needs_held_out_prompts(project, models):
    project.prompts.filter(split="test").delete()
    a_run(project, "quantise", inputs={"policy": models["policy"]})
    with pytest.raises(RunError, match="at least 8 prompts and found 0"):
        prepared(execution.claim("runs", a_worker()))


SERVED = {"engine": "server", "server_url": "http://models:8000/v1", "server_model": "big"}


@pytest.mark.twice
def test_completions_of_a_server_have_no_model_and_need_no_log_probabilities(project, models, var):
    a_run(project, "generate", {"prompts": 4} | SERVED)
    run = execution.claim("runs", a_worker())
    prompts, spec = prepared(run)
    assert spec.inputs.keys() == {"prompts"}
    with committed(var / "output") as aside:
        records = (
            CompletionRecord(prompt_key=p.key, text=text, logps=None, tokens=None, truncated=False)
            for p in prompts
            for text in ("a", "b")
        )
        write_jsonl(aside / "completions.jsonl", records)
    half_of("generate").publish(run, var / "output")
    stored = Completion.objects.filter(run=run)
    assert set(stored.values_list("model", "logps")) == {(None, None)}
    assert {row.sampling["server_model"] for row in stored} == {"big"}
    assert Task.objects.count() == len(prompts) == 4
    a_run(project, "generate", {"prompts": 4} | SERVED)
    later, _ = prepared(execution.claim("runs", a_worker()))
    assert not {p.key for p in later} & {p.key for p in prompts}


def test_an_alignment_with_demonstrations_reads_what_is_preferred_of_training_prompts(
    project, models, tmp_path
):
    labels = some_labels(project, tmp_path)
    a_run(project, "align", {"demonstration_weight": 0.5}, inputs=models | {"labels": labels})
    folder = folders.prepare(execution.claim("runs", a_worker()))
    prompts = list(read_jsonl(folder / "inputs" / "prompts.jsonl", PromptRecord))
    path = folder / RunSpec.load(folder).inputs["demonstrations"]
    imitated = list(read_jsonl(path, DemonstrationRecord))
    assert {one.prompt.key for one in imitated} <= {prompt.key for prompt in prompts}
    assert {one.completion for one in imitated} == {"Yes, with pleasure."}


def test_an_alignment_reads_stored_answers_to_its_training_prompts(project, models, var):
    asked = [*project.prompts.of_split("train")[:2], project.prompts.of_split("test").first()]
    answers = an_artifact(project, var, type="completions", name="Answers")
    rows = [
        CompletionRecord(prompt_key=p.key, text=text, logps=None, tokens=None, truncated=not text)
        for p, text in zip(asked, ("whole", "", "hidden"), strict=True)
    ]
    write_jsonl(answers.path / "completions.jsonl", rows)
    settings = {"estimator": "surrogate", "stored_share": 0.5}
    a_run(project, "align", settings, inputs=models | {"completions": answers})
    folder = folders.prepare(execution.claim("runs", a_worker()))
    found = read_jsonl(folder / RunSpec.load(folder).inputs["completions"], StoredRecord)
    facts = [(row.prompt.key, row.completion, row.truncated) for row in found]
    assert facts == [(asked[0].key, "whole", False), (asked[1].key, "", True)]


def test_stored_answers_that_help_no_training_prompt_are_refused(project, models, var):
    answers = an_artifact(project, var, type="completions", name="Answers")
    write_jsonl(answers.path / "completions.jsonl", [])
    settings = {"estimator": "surrogate", "stored_share": 0.5}
    a_run(project, "align", settings, inputs=models | {"completions": answers})
    with pytest.raises(RunError, match="holds no answer to a training prompt"):
        folders.prepare(execution.claim("runs", a_worker()))


def test_an_evaluation_sees_test_prompts_only(project, models):
    a_run(project, "evaluate", {"judge": "none"}, inputs=models)
    prompts, _ = prepared(execution.claim("runs", a_worker()))
    assert {prompt.key for prompt in prompts} == set(
        project.prompts.of_split("test").values_list("key", flat=True)
    )


def test_too_few_test_prompts_are_refused_with_a_number(project, models):
    project.prompts.of_split("test").delete()
    a_run(project, "evaluate", {"judge": "none"}, inputs=models)
    with pytest.raises(RunError, match="at least 8 prompts and found 0"):
        folders.prepare(execution.claim("runs", a_worker()))


def test_a_run_that_cannot_be_prepared_fails_with_the_reason(project, models):
    project.prompts.all().delete()
    run = a_run(project, "align", inputs=models)
    execution.execute(execution.claim("runs", a_worker()))
    assert (again(run).state, again(run).reason) == ("failed", "data")


def test_outputs_of_needed_runs_become_inputs(project, models, tmp_path):
    first = a_run(project)
    made = an_artifact(project, tmp_path, producer=first)
    run = a_run(project, "generate", needs={"policy": first})
    run_at(first, state="succeeded")
    _, spec = prepared(execution.claim("runs", a_worker()))
    assert spec.inputs["policy"] == str(made.path)
    assert run.inputs.get().artifact == made


@pytest.mark.twice
def test_completions_become_rows_and_tasks(generating, tmp_path):
    output = written(generating, tmp_path, ["yes", "no"])
    half_of("generate").publish(generating, output)
    assert (Completion.objects.count(), Task.objects.count()) == (8, 4)
    assert {task.need for task in Task.objects.all()} == {2}
    assert Completion.objects.first().sampling == {"temperature": 1.0, "max_new_tokens": 48}


def test_completions_remember_how_they_were_drawn(generating, tmp_path):
    cut = {"top_p": 0.9, "stop_strings": "User:"}
    generating.config |= cut
    generating.save()
    half_of("generate").publish(generating, written(generating, tmp_path, ["yes", "no"]))
    drawn = {"temperature": 1.0, "max_new_tokens": 48, **cut}
    assert Completion.objects.first().sampling == drawn


@pytest.mark.twice
@pytest.mark.parametrize("task", TASKS)
def test_completions_become_tasks_of_the_kind_that_is_wanted(generating, tmp_path, task):
    generating.config |= {"task": task, "completions_per_prompt": 3}
    output = written(generating, tmp_path, ["yes", "no", "perhaps"])
    half_of("generate").publish(generating, output)
    assert {(one.kind, one.need) for one in Task.objects.all()} == {(task, 2)}
    assert Task.objects.values("prompt").distinct().count() == 4


def test_every_kind_about_answers_can_be_wanted_by_its_name():
    about = {name for name, kind in TASK_KINDS.items() if kind.made and kind.items[-1]}
    assert set(TASKS) == about
    with pytest.raises(ValueError, match="three completions"):
        GenerateConfig(task="rank")


@pytest.mark.twice
def test_publishing_twice_changes_nothing(generating, tmp_path):
    output = written(generating, tmp_path, ["yes", "no"])
    for _ in range(2):
        half_of("generate").publish(generating, output)
    assert (Completion.objects.count(), Task.objects.count()) == (8, 4)
    assert generating.outputs.get().type == "completions"


def test_equal_answers_are_not_compared():
    texts = ["a", "a", "b", "c", "c"]
    answers = [Completion(prompt_id=1, text=text) for text in texts]
    assert [(x.text, y.text) for x, y in COMPARE.ask(answers)] == [("a", "b")]


def test_a_later_epoch_sees_the_prompts_of_the_first(generating, project):
    before, _ = prepared(generating)
    some_prompts(project, 5, split="train")
    later, spec = prepared(claimed_epoch(generating))
    assert later == before
    assert spec.epoch == 2


def saved(run, step):
    """A checkpoint of this epoch with its row."""
    target = folders.folder_of(run) / f"ckpt-{step:06d}"
    with committed(target) as aside:
        (aside / "state.json").write_text(str(step))
    path = str(target.relative_to(folders.folder_of(run).parents[2]))
    return Checkpoint.objects.create(
        run=run, epoch=run.epoch, step=step, path=path, manifest_sha256="", bytes=1
    )


@pytest.mark.twice
def test_a_later_epoch_starts_from_the_newest_checkpoint(generating):
    prepared(generating)
    saved(generating, 5)
    newest = saved(generating, 10)
    _, spec = prepared(claimed_epoch(generating))
    assert spec.resume_from.endswith("e1/ckpt-000010")
    assert Run.objects.get(pk=generating.pk).resume_from == newest


def test_a_damaged_checkpoint_is_passed_over_and_reported(generating):
    prepared(generating)
    saved(generating, 5)
    saved(generating, 10)
    (folders.folder_of(generating) / "ckpt-000010" / "state.json").write_text("11")
    _, spec = prepared(claimed_epoch(generating))
    assert spec.resume_from.endswith("e1/ckpt-000005")
    assert "step 10 is damaged" in RunEvent.objects.get(reason="checkpoint").message


@pytest.mark.parametrize(
    ("kind", "name", "record"),
    [("sft", "demonstrations", DemonstrationRecord), ("prefer", "pairs", PairRecord)],
)
def test_runs_on_labels_read_the_training_split_of_a_snapshot(
    project, models, tmp_path, kind, name, record
):
    roles = KINDS[kind].roles(KINDS[kind].settings())
    have = models | {"labels": some_labels(project, tmp_path)}
    a_run(project, kind, {}, inputs={role: have[role] for role in roles})
    folder = folders.prepare(execution.claim("runs", a_worker()))
    spec = RunSpec.load(folder)
    assert set(spec.inputs) == {*roles, name} - {"labels"}
    assert len(list(read_jsonl(folder / spec.inputs[name], record))) == 10


@pytest.mark.parametrize(("facts", "type"), [({}, "model"), ({"encoder": True}, "encoder")])
def test_what_is_brought_in_is_a_model_or_an_encoder(project, tmp_path, facts, type):
    run = run_at(a_run(project, "import", {"name": "x"}), summary=facts)
    with committed(tmp_path / "output") as aside:
        (aside / "config.json").write_text("{}")
    half_of("import").publish(run, tmp_path / "output")
    assert run.outputs.get().type == type


def test_a_reward_run_reads_ties_that_other_runs_do_not(project, models, tmp_path):
    labels = some_labels(project, tmp_path, answer='{"choice":4}')
    have = models | {"backbone": models["policy"], "labels": labels}
    for kind in ("reward", "sft"):
        roles = KINDS[kind].roles(KINDS[kind].settings())
        a_run(project, kind, {}, inputs={role: have[role] for role in roles})
    folder = folders.prepare(execution.claim("runs", a_worker()))
    read = list(read_labels(folder / RunSpec.load(folder).inputs["pairs"]))
    assert [label.kind for label in read] == ["tie"] * 10
    with pytest.raises(RunError, match="no usable labels"):
        folders.prepare(execution.claim("runs", a_worker()))


def test_what_a_reward_run_is_measured_by_is_the_other_split(project, models, tmp_path):
    labels = some_labels(project, tmp_path / "own")
    other = some_labels(project, tmp_path / "other", answer='{"choice":4}', split="validation")
    have = models | {"backbone": models["policy"], "labels": labels, "evaluation": other}
    config = {"evaluate_on": "own"}
    roles = KINDS["reward"].roles(KINDS["reward"].settings(**config))
    a_run(project, "reward", config, inputs={role: have[role] for role in roles})
    folder = folders.prepare(execution.claim("runs", a_worker()))
    files = RunSpec.load(folder).inputs
    read = {name: list(read_labels(folder / files[name])) for name in ("pairs", "evaluation")}
    kinds = {name: [label.kind for label in found] for name, found in read.items()}
    assert kinds == {"pairs": ["pair"] * 10, "evaluation": ["tie"] * project.prompts.count()}


def test_an_input_is_found_by_its_role_and_no_other_is():
    kind = KINDS["align"]
    assert kind.input_named("policy") is kind.input("policy")
    with pytest.raises(KeyError, match="nothing as oracle"):
        kind.input_named("oracle")
