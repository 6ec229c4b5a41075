"""A large installation: many projects, one of them with all that months of work leave."""

import json
from typing import NamedTuple

from django.db.models import F
from django.utils import timezone

from benchmarks.rows import ago, fill, hexadecimal, settle
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.datasets.models import Snapshot
from webapp.jobs.models import Job
from webapp.labeling.asked import Question
from webapp.labeling.models import Assignment, Completion, Label, Task, TaskItem
from webapp.notifications.models import Notification
from webapp.projects.models import Membership, Project, Prompt
from webapp.quality.jobs import measure_now
from webapp.rounds.config import PRESETS
from webapp.rounds.models import Round, RoundRun
from webapp.runs.models import Run, RunEvent, RunMetric
from webapp.runs.points import keep_points
from webapp.webhooks.models import Delivery, Webhook

TABLES = (
    *(User, Project, Membership, Prompt, Completion, Task, TaskItem, Assignment, Label, Run),
    *(RunEvent, RunMetric, Artifact, ArtifactInput, Snapshot, Round, RoundRun, Job),
    *(AuditEntry, Webhook, Delivery, Question, Notification),
)
PARTS = tuple(RoundRun.Part.values)
KINDS = ("reward", "reward", "align", "evaluate", "generate")  # of a round's runs, as its parts
LATER = 10**6  # no number of a row that is filled in
CURVES = 20  # of a run
QUEUED = "(i % 250 = 1 OR i < 240 AND i % 4 = 1)"  # more than a page of runs
FEW = 200  # points of another run


class Sizes(NamedTuple):
    """How many rows there are of each kind."""

    projects: int = 200
    people: int = 200
    prompts: int = 100_000
    tasks: int = 101_000  # with two labels each
    runs: int = 5_000
    models: int = 2_300
    rounds: int = 400
    snapshots: int = 400
    jobs: int = 600
    points: int = 200_000  # of one run's curves
    acts: int = 200_000  # in the audit log, each of which a webhook is told of
    questions: int = 5_000
    told: int = 10_000  # notifications of whoever looks

    def shrunk(self, share: float) -> "Sizes":
        """A share of it all."""
        return Sizes(*(max(20, round(number * share)) for number in self))


class Place(NamedTuple):
    """The large project, somebody who looks at it, and a row of each kind."""

    project: Project
    viewer: User
    parts: dict[str, int]
    card: int  # an assignment of theirs


def grow(before: Sizes, now: Sizes) -> None:
    """Fill the tables from what they hold up to these sizes; the first project has it all."""
    give_back()
    spans = Sizes(*(range(*pair) for pair in zip(before, now, strict=True)))
    fill_people(spans)
    fill_runs(spans, now)
    fill_stored(spans, now)
    fill_labels(spans, now)
    fill_told(spans, now)
    settle(TABLES)
    measure_now(Project.objects.get(pk=1))
    reach(now.points // CURVES)


NOTHING = Sizes(*(0 for _ in Sizes()))


def reach(step: int) -> None:
    """Let the run with many points be where they end, as its worker would."""
    Run.objects.filter(pk=1).update(step=step, total_steps=2 * step)
    keep_points(Run.objects.get(pk=1))


def give_back() -> None:
    """Take away the card that the label page has leased to whoever looked, and what the floor has stored."""
    Label.objects.filter(retracted=True).delete()
    Assignment.objects.filter(state=Assignment.State.LEASED).delete()
    Task.objects.filter(taken__gt=F("done")).update(taken=F("done"))


def fill_people(spans: Sizes) -> None:
    """Projects with a member each, and the many members of the first."""
    fill(Project, spans.projects, name="'Project ' || (i + 1)")
    name = "'person-' || i"
    person = {"username": name, "name_form": name, "password": "'!'", "simulated": "i % 4 = 0"}
    fill(User, spans.people, **person, first_name="''", last_name="''", email="''")
    fill(Membership, spans.people, project_id="1", user_id="i + 1", role="'annotator'")


def fill_runs(spans: Sizes, now: Sizes) -> None:
    """Runs of all states, those of rounds first; one that is at work has long curves."""
    fill(
        Run,
        spans.runs,
        project_id="1",
        kind=by_turns(KINDS),
        name="'run ' || i",
        config="'{}'",
        config_hash="''",
        state=f"CASE WHEN i < 2 THEN 'running' WHEN {QUEUED} THEN 'queued' WHEN i % 9 = 2 "
        "THEN 'failed' ELSE 'succeeded' END",
        step="100",
        total_steps="200",
        epoch="1",
        started_at=ago("i * 60 + 50"),
        ended_at=f"CASE WHEN i < 2 OR {QUEUED} THEN NULL ELSE {ago('i * 60')} END",
        idempotency_key=hexadecimal("i"),
    )
    fill(RunEvent, spans.runs, run_id="i + 1", actor="'tend'", epoch="1", to_state="'succeeded'")
    fill(
        RunMetric,
        spans.points,
        run_id=f"CASE WHEN i < {FEW} THEN 2 ELSE 1 END",
        key=f"'measure/' || (i % {CURVES})",
        step=f"i / {CURVES} + 1",
        epoch="1",
        value="i % 977 * 0.001",
    )


def fill_stored(spans: Sizes, now: Sizes) -> None:
    """Models, snapshots and rounds."""
    kept = {"project_id": "1", "bytes": "1000 + i", "producer_id": f"i % {now.runs} + 1"}
    named = {"manifest_sha256": "'" + "0" * 64 + "'", "name": "'model ' || i"}
    models = by_turns(("model", "model", "reward", "encoder"))
    artifacts = range(
        spans.models.start + spans.snapshots.start, spans.models.stop + spans.snapshots.stop
    )
    last = artifacts.stop - len(spans.snapshots)
    snapshot = f"i >= {last}"
    fill(
        Artifact,
        artifacts,
        type=f"CASE WHEN {snapshot} THEN 'snapshot' ELSE {models} END",
        **kept,
        **named,
    )
    manifest = {
        "pairs": {"train": 100},
        "splits": {"train": 100},
        "newest": {"label": 1, "ranked": 0},
    }
    manifest |= {"sha256": {}, "annotators": {}, "choices": {}, "answers": {}}
    fill(
        Snapshot,
        spans.snapshots,
        project_id="1",
        number="i + 1",
        artifact_id=f"i - {spans.snapshots.start} + {last} + 1",
        labels="70",
        pairs="100",
        annotators="2",
        manifest=f"'{json.dumps(manifest)}'",
    )
    config = PRESETS["quick"].config.model_dump_json()
    fill(
        Round,
        spans.rounds,
        project_id="1",
        number="i + 1",
        snapshot_id=f"i % {now.snapshots} + 1",
        policy_id="1",
        config=f"'{config}'",
        idempotency_key=hexadecimal("i"),
    )
    parts = range(spans.rounds.start * len(PARTS), spans.rounds.stop * len(PARTS))
    fill(
        RoundRun,
        parts,
        round_id=f"i / {len(PARTS)} + 1",
        run_id=f"i % {now.runs} + 1",
        part=by_turns(PARTS),
    )
    read = {"run_id": "i + 1", "artifact_id": "i / 2 % 1000 + 1", "role": "'policy'"}
    fill(ArtifactInput, spans.runs, **read)
    state = "CASE WHEN i % 9 = 2 THEN 'failed' ELSE 'done' END"
    of_job = {"kind": by_turns(("preview", "import", "export")), "state": state}
    fill(Job, spans.jobs, project_id="1", key=hexadecimal("i"), **of_job)


def fill_labels(spans: Sizes, now: Sizes) -> None:
    """Prompts with two answers each, and tasks with two labels each, which disagree now and then."""
    said = """'[{"role": "user", "content": "What is ' || i || ' plus ' || (i % 97) || '?"}]'"""
    split = "CASE WHEN i % 20 = 0 THEN 'test' WHEN i % 20 = 1 THEN 'validation' ELSE 'train' END"
    prompt = {"key": hexadecimal("i"), "messages": said, "split": split, "source": "'written'"}
    fill(Prompt, spans.prompts, project_id="1", author_id=f"i % {now.people} + 1", **prompt)
    answer = {"text": "'Answer ' || i || ' says so.'", "source": "'model'", "key": "'k' || i"}
    answers = doubled(spans.prompts)
    fill(Completion, answers, prompt_id="i / 2 + 1", **answer)
    fill(
        Task,
        spans.tasks,
        project_id="1",
        kind="'compare'",
        prompt_id=f"i % {now.prompts} + 1",
        size="2",
        identity="'task ' || i",
        need="CASE WHEN i % 5 = 0 THEN 3 ELSE 2 END",
        taken="2",
        done="2",
        key="(i * 7919) % 1000003",
        flip="i % 2",
    )
    pairs = doubled(spans.tasks)
    completion = f"(i / 2) % {now.prompts} * 2 + i % 2 + 1"
    fill(TaskItem, pairs, task_id="i / 2 + 1", place="i % 2", completion_id=completion)
    person = f"(i / 2 * 7 + i % 2 * 3) % {now.people} + 1"
    who = {"task_id": "i / 2 + 1", "annotator_id": person}
    held = {"slot": "i % 2", "state": "'submitted'", "lease_until": ago("0")}
    fill(Assignment, pairs, **who, **held)
    said = {"answer": """'{"choice": 1}'""", "order": "'[0, 1]'", "counted": "i % 101 > 0"}
    # Every fourth person is simulated: of each sixteen, the first two differ with one of these, the next as people.
    verdict = "CASE WHEN i % 16 IN (0, 2) THEN '0>1' ELSE '1>0' END"
    said |= {"project_id": "1", "disputed": "i / 2 % 8 < 2", "contested": "i / 2 % 8 = 1"}
    fill(
        Label,
        pairs,
        assignment_id="i + 1",
        client_id=hexadecimal("i"),
        verdict=verdict,
        **who,
        **said,
    )


def fill_told(spans: Sizes, now: Sizes) -> None:
    """What was done, asked and told: the audit log, a webhook's deliveries, questions, notifications."""
    User.objects.get_or_create(pk=LATER, username="viewer", password="!")
    AuditEntry.objects.filter(pk__gt=spans.acts.start).delete()  # that whoever looked has left
    of_person = {"project_id": "1", "person_id": f"i % {now.people} + 1"}
    acts = tuple(act.value for act in Act)
    about = {"act": by_turns(acts), "thing": by_turns(tuple(act.partition(".")[0] for act in acts))}
    fill(AuditEntry, spans.acts, **of_person, **about, number="i + 1", facts="'{}'")
    hook = {"url": "'https://hooks.example/' || i", "acts": "'[]'", "salt": hexadecimal("i")}
    fill(Webhook, range(min(spans.acts.start, 1), 1), project_id="1", **hook)
    sent = {"state": by_turns(("delivered", "delivered", "failed")), "code": "204"}
    fill(Delivery, spans.acts, webhook_id="1", entry_id="i + 1", **sent)
    asked = {"project_id": "1", "by_id": of_person["person_id"], "text": "'What is meant by ' || i"}
    answer = "CASE WHEN i % 3 = 0 THEN '' ELSE 'Just that.' END"
    fill(Question, spans.questions, task_id=f"i % {now.tasks} + 1", answer=answer, **asked)
    said = {"kind": "'run'", "outcome": "'succeeded'", "what": "'run ' || i", "url": "'/'"}
    fill(Notification, spans.told, person_id=str(LATER), project_id="1", **said)


def doubled(numbers: range) -> range:
    """Two for each."""
    return range(numbers.start * 2, numbers.stop * 2)


def by_turns(words: tuple[str, ...]) -> str:
    """One word after the other, as SQL."""
    cases = " ".join(f"WHEN {place} THEN '{word}'" for place, word in enumerate(words))
    return f"CASE i % {len(words)} {cases} END"


def a_place() -> Place:
    """Somebody who may see all projects as a member, at the first one."""
    viewer = User.objects.get(pk=LATER)
    everywhere = Project.objects.all()
    Membership.objects.bulk_create(
        Membership(pk=LATER + project.pk, project=project, user=viewer, role=Role.ADMIN)
        for project in everywhere
    )
    first = everywhere.get(pk=1)
    card = Assignment.objects.create(
        pk=LATER, task_id=1, annotator=viewer, slot=9, state="submitted", lease_until=timezone.now()
    )
    ids = (
        *("task_id", "snapshot_id", "artifact_id", "round_id", "run_id", "membership_id", "job_id"),
        *("webhook_id", "question_id"),
    )
    return Place(first, viewer, {"project_id": 1, **dict.fromkeys(ids, 1)}, card.pk)
