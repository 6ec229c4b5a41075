"""Rows to test with, each with the least that makes it real."""

import json
from itertools import count
from pathlib import Path
from uuid import uuid4

from django.contrib.auth.hashers import make_password
from django.utils import timezone

from alignment.foreign.code_files import store_function
from alignment.kinds import KINDS
from alignment.seam.folders import committed, file_sha256
from alignment.seam.records import (
    Message,
    PromptRecord,
    ProposedRecord,
    ScoredSample,
    prompt_key,
    split_of,
    write_jsonl,
)
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.datasets.models import Snapshot
from webapp.labeling.exchanges import Exchange
from webapp.labeling.models import Assignment, Completion, Label, Task
from webapp.labeling.queue import free_slot, take_place
from webapp.labeling.services import Ask, create_tasks, said_columns, submit_label
from webapp.projects.models import Membership, Project, Prompt
from webapp.runs.models import Run, Worker
from webapp.runs.services import Order, start_run
from webapp.sweeps.config import SearchConfig
from webapp.sweeps.objectives import Objective
from webapp.sweeps.services import SweepPlan, start_sweep
from webapp.sweeps.space import Dimension

NUMBER = count(1)
PAIRS = {"train": 40, "validation": 9, "test": 10}  # of a snapshot, by split


def a_project(**columns):
    return Project.objects.create(**{"name": f"Project {next(NUMBER)}"} | columns)


def a_user(project=None, role=Role.RESEARCHER, **columns):
    """A person, with a role in the project if there is one."""
    user = User.objects.create_user(**{"username": f"user{next(NUMBER)}"} | columns)
    if project is not None:
        Membership.objects.create(project=project, user=user, role=role)
    return user


def a_prompt(project, text=None, **columns):
    prompt = new_prompt(project, text, **columns)
    prompt.save(force_insert=True)
    return prompt


def new_prompt(project, text=None, **columns):
    """A prompt that is not stored yet."""
    text = text or f"Question {next(NUMBER)}?"
    key = prompt_key([Message(role="user", content=text)])
    return Prompt(
        **{
            "project": project,
            "key": key,
            "messages": [{"role": "user", "content": text}],
            "split": split_of(key),
            "source": Prompt.Source.WRITTEN,
        }
        | columns
    )


def some_prompts(project, number, **columns):
    return Prompt.objects.bulk_create(new_prompt(project, **columns) for _ in range(number))


def a_completion(prompt, text=None, **columns):
    completion = new_completion(prompt, text, **columns)
    completion.save(force_insert=True)
    return completion


def new_completion(prompt, text=None, **columns):
    """An answer that is not stored yet."""
    number = next(NUMBER)
    return Completion(
        **{
            "prompt": prompt,
            "text": text or f"Answer {number}.",
            "source": Completion.Source.IMPORTED,
            "key": f"key-{number}",
        }
        | columns
    )


def compare(project, pairs, *, need=1):
    """Queue pairs of answers; the number queued."""
    return create_tasks(project, "compare", [Ask.about(pair) for pair in pairs], need=need)


def some_tasks(project, number=1, *, need=1, texts=(None, None)):
    """Compare tasks, each about two new answers to a new prompt."""
    prompts = Prompt.objects.bulk_create(new_prompt(project) for _ in range(number))
    answers = [new_completion(prompt, text) for prompt in prompts for text in texts]
    stored = iter(Completion.objects.bulk_create(answers))
    compare(project, list(zip(stored, stored, strict=True)), need=need)
    return list(Task.objects.filter(prompt__in=prompts).order_by("key"))


def tasks_of(project, kind, number=1, *, size, **columns):
    """Tasks of any kind, each about so many new answers to a new prompt."""
    prompts = Prompt.objects.bulk_create(new_prompt(project, split="train") for _ in range(number))
    answers = [new_completion(prompt) for prompt in prompts for _ in range(size)]
    stored = Completion.objects.bulk_create(answers)
    asks = [
        Ask(prompt.pk, stored[place * size : (place + 1) * size])
        for place, prompt in enumerate(prompts)
    ]
    assert create_tasks(project, kind, asks, need=1, **columns) == number
    return list(Task.objects.filter(prompt__in=prompts, kind=kind).order_by("key"))


def a_turn(held, choice=2, **columns):
    """A turn of the conversation that somebody leads, with two answers of which one goes on."""
    prompt, number = held.task.prompt, held.exchanges.count() + 1
    answers = {"left": a_completion(prompt), "right": a_completion(prompt)}
    said = "" if number == 1 else f"And then, {number}?"
    return Exchange.objects.create(
        **{"assignment": held, "number": number, "prompt": prompt, "said": said, "choice": choice}
        | answers
        | columns
    )


def a_label(task, choice=2, *, annotator=None, **columns):
    """An answer to the task by somebody who claims it."""
    annotator = annotator or a_user(task.project, Role.ANNOTATOR)
    take_place(task)
    assignment = Assignment.objects.create(
        task=task, annotator=annotator, slot=free_slot(task), lease_until=timezone.now()
    )
    return submit_label(assignment, client_id=uuid4(), answer={"choice": choice}, **columns)


def some_labels(tasks, choice=2):
    """What `a_label` leaves, each task's by an annotator of its own: for tasks that nobody holds yet."""
    people = _annotators([task.project for task in tasks])
    held = Assignment.objects.bulk_create(
        Assignment(
            task=task,
            annotator=person,
            slot=0,
            state=Assignment.State.SUBMITTED,
            lease_until=timezone.now(),
        )
        for task, person in zip(tasks, people, strict=True)
    )
    Task.objects.filter(pk__in=[task.pk for task in tasks]).update(taken=1, done=1)
    return Label.objects.bulk_create(_answered(each, choice) for each in held)


def _annotators(projects):
    """A new annotator for each of these."""
    names = [f"user{next(NUMBER)}" for _ in projects]
    password = make_password(None)
    people = User.objects.bulk_create(User(username=name, password=password) for name in names)
    Membership.objects.bulk_create(
        Membership(project=project, user=person, role=Role.ANNOTATOR)
        for project, person in zip(projects, people, strict=True)
    )
    return people


def _answered(held, choice):
    """The label of somebody who chose this, not stored yet."""
    said = said_columns(held.task, held.order, {"choice": choice})
    return Label(
        task=held.task,
        assignment=held,
        annotator=held.annotator,
        client_id=uuid4(),
        counted=True,
        **said,
    )


def a_ranking(prompt, *ranks):
    """Imported answers with these ranks, 0 for the best."""
    return Completion.objects.bulk_create(new_completion(prompt, rank=rank) for rank in ranks)


def an_artifact(project, folder: Path, type=Artifact.Type.MODEL, producer=None, **columns):
    """A stored folder with one small file that no other artifact has."""
    made = folder / f"made-{next(NUMBER)}"
    with committed(made) as aside:
        (aside / "weights.json").write_text(json.dumps({"number": next(NUMBER)}))
    columns = {"name": made.name, "producer_id": producer.pk if producer else None} | columns
    return store(made, project=project, type=type, **columns)


def a_kept_adapter(project, folder: Path):
    """A model beside which its run kept an adapter."""
    made = folder / f"adapted-{next(NUMBER)}"
    with committed(made) as aside:
        (aside / "weights.json").write_text(json.dumps({"number": next(NUMBER)}))
        (aside / "adapter").mkdir()
        (aside / "adapter" / "adapter_config.json").write_text("{}")
    return store(made, project=project, type=Artifact.Type.MODEL, name=made.name)


SOURCE = (
    b"def reward(completions, **columns):\n    return [len(text) / 10 for text in completions]\n"
)


def a_reward_from_code(project, folder: Path, source=SOURCE):
    """A registered function that gives answers a number, by their length."""
    made = folder / f"made-{next(NUMBER)}"
    with committed(made) as aside:
        store_function(aside, source, "reward")
    summary = {"function": "reward", "sha256": file_sha256(made / "reward.py")}
    return store(made, project=project, type=Artifact.Type.CODE, name="Length", summary=summary)


def a_snapshot(project, folder, pairs=PAIRS):
    """A snapshot that says it holds so many pairs of each split."""
    number = project.snapshots.count() + 1
    return Snapshot.objects.create(
        project=project,
        number=number,
        artifact=an_artifact(project, folder, type=Artifact.Type.SNAPSHOT, name=f"S{number}"),
        labels=70,
        pairs=sum(pairs.values()),
        annotators=2,
        manifest={"pairs": pairs},
    )


def a_run(project, kind="pretrain", config=None, **columns):
    """A queued run, as a person would start it."""
    return start_run(
        project,
        Order(
            kind=kind,
            config=KINDS[kind].settings(**config or {}),
            **{"name": f"{kind} {next(NUMBER)}", "key": f"key-{next(NUMBER)}"} | columns,
        ),
    )


def a_sweep(project, *space, kind="pretrain", config=None, search=None, **columns):
    """A sweep with its first trials, as a person would start it."""
    rates = Dimension(name="learning_rate", values=(0.01, 0.02, 0.03))
    return start_sweep(
        project,
        SweepPlan(
            **{
                "kind": kind,
                "name": f"Sweep {next(NUMBER)}",
                "config": KINDS[kind].settings(**config or {}),
                "space": space or (rates,),
                "search": SearchConfig(**search or {}),
                "objective": Objective(
                    source="curve", key="loss", better="smaller", watched="loss"
                ),
                "key": f"key-{next(NUMBER)}",
                "inputs": {},
            }
            | columns
        ),
    )


def some_scores(run, folder: Path):
    """What an evaluation leaves: two prompts, one of which gained more."""
    samples = [_scored("small", 0.1), _scored("large", 3.0)]
    with committed(folder / "scores") as aside:
        write_jsonl(aside / "samples.jsonl", samples)
    return store(
        folder / "scores",
        project=run.project,
        type=Artifact.Type.SCORES,
        name="scores",
        producer_id=run.pk,
    )


def some_proposals(project, folder: Path, proposed, heads=4):
    """What a run leaves that scored answers: these pairs of them, in this order by the ensemble and the other way by design."""
    reward = an_artifact(project, folder, type=Artifact.Type.REWARD)
    run = run_at(a_run(project, "score", inputs={"reward": reward}), state="succeeded")
    rows = [
        ProposedRecord(
            first=str(first.pk),
            second=str(second.pk),
            chance=chance,
            information=0.1,
            entropy=0.5,
            by_ensemble=place if heads > 1 else None,
            by_design=len(proposed) - 1 - place,
        )
        for place, (first, second, chance) in enumerate(proposed)
    ]
    made = folder / f"proposed-{run.pk}"
    with committed(made) as aside:
        write_jsonl(aside / "pairs.jsonl", rows)
        (aside / "scores.jsonl").write_text(f'{{"run": {run.pk}}}\n')
    columns = {"type": Artifact.Type.SCORES, "name": run.name, "producer_id": run.pk}
    return store(
        made, project=project, summary={"heads": heads, "pairs_free": len(rows)}, **columns
    )


def _scored(text, gain):
    turn = Message(role="user", content=f"A {text} one")
    return ScoredSample(
        prompt=PromptRecord(key=text, messages=(turn,)),
        before="<script>alert(1)</script> old",
        after="<script>alert(1)</script> new",
        reward_before=0.0,
        reward_after=0.0,
        judge_before=1.0,
        judge_after=1.0 + gain,
    )


def a_worker(**columns):
    name = f"host:{next(NUMBER)}:0"
    return Worker.objects.create(
        **{"name": name, "host": "host", "pid": 1, "queue": "runs"} | columns
    )


def again(row):
    """The row as the database has it now."""
    return type(row).objects.get(pk=row.pk)


def run_at(run: Run, **columns):
    """The run, put where a test needs it."""
    Run.objects.filter(pk=run.pk).update(**columns)
    return again(run)
