"""The demo: the product's main job, played once through the real parts, idempotently.

Each step first looks for what an earlier run of the demo left in the database.
"""

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from django.db.models import Max, Min

from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.world import grammar
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.datasets.models import Snapshot
from webapp.datasets.services import freeze_snapshot
from webapp.demo.annotators import Login, label_all
from webapp.labeling.models import Label, Task
from webapp.operations.stack import Stack
from webapp.people.services import add_member
from webapp.projects.models import Project, Prompt
from webapp.projects.services import add_prompts
from webapp.rounds.config import RoundConfig
from webapp.rounds.models import Round
from webapp.rounds.services import start_round
from webapp.runs.models import Run, State
from webapp.runs.services import Order, start_run

PROJECT = "Demo: helpful answers"
GUIDELINES = """Prefer the answer that a polite, well-informed friend would give.

- It stays on the question.
- It is kind, and does not lecture.
- It is as short as it can be while still useful.
"""
PROMPTS = 900
ANNOTATORS = 6
SEED = 7


class DemoError(Exception):
    """A step did not work out; the message says which and what to try."""


class Reporter(Protocol):
    """Where the demo shows how far it is."""

    def step(self, title: str) -> None:
        """A new step begins."""

    def progress(self, done: float, total: float, note: str = "") -> None:
        """The current step moved on."""

    def done(self, note: str) -> None:
        """The current step is over."""


class Demo:
    """The steps, each of which does only what is not yet done."""

    def __init__(self, stack: Stack, reporter: Reporter) -> None:
        self.stack = stack
        self.reporter = reporter

    def play(self) -> Round:
        """All steps in order; the finished round."""
        project = self.project()
        model = self.starter(project)
        self.completions(project, model)
        snapshot = self.labels(project)
        return self.round(project, snapshot, model)

    def project(self) -> Project:
        """The demo's project with its prompts."""
        self.reporter.step("Project and prompts")
        project, _ = Project.objects.get_or_create(
            name=PROJECT, defaults={"guidelines": GUIDELINES}
        )
        if not project.prompts.exists():
            add_prompts(project, grammar.prompts(SEED, PROMPTS), source=Prompt.Source.GENERATED)
        self.reporter.done(f"{project.prompts.count()} prompts")
        return project

    def starter(self, project: Project) -> Artifact:
        """The small language model everything starts from."""
        self.reporter.step("Starter model, from scratch")
        run = self.run(
            project,
            "pretrain",
            lambda key: start_run(
                project,
                Order(
                    kind="pretrain",
                    name="Starter model",
                    config=PretrainConfig(),
                    seed=SEED,
                    key=key,
                ),
            ),
        )
        model = run.outputs.get(type=Artifact.Type.MODEL)
        self.reporter.done(f"{run.summary['parameters']:,} parameters")
        return model

    def completions(self, project: Project, model: Artifact) -> None:
        """Two answers to each prompt, queued as compare tasks."""
        self.reporter.step("Completions of the starter model")
        run = self.run(
            project,
            "generate",
            lambda key: start_run(
                project,
                Order(
                    kind="generate",
                    name="First completions",
                    config=GenerateConfig(prompts=720),
                    seed=SEED,
                    inputs={"policy": model},
                    key=key,
                ),
            ),
        )
        asked = Task.objects.filter(items__completion__run=run).distinct()
        self.reporter.done(f"{asked.count()} compare tasks")

    def labels(self, project: Project) -> Snapshot:
        """Simulated annotators answer every task over HTTP; their labels are frozen."""
        self.reporter.step("Labels by simulated annotators, over HTTP")
        if (snapshot := project.snapshots.order_by("number").first()) is not None:
            self.reporter.done(f"{snapshot.labels} labels")
            return snapshot
        total = Task.objects.filter(project=project).count()
        counter = iter(range(1, 10 * total))
        label_all(
            self.stack.url,
            project.pk,
            simulated_logins(project),
            lambda: self.reporter.progress(next(counter), total),
        )
        snapshot = freeze_snapshot(project)
        self.reporter.done(f"{snapshot.labels} labels, {snapshot.pairs} pairs")
        return snapshot

    def round(self, project: Project, snapshot: Snapshot, model: Artifact) -> Round:
        """Reward model, alignment, evaluation, new completions."""
        config = RoundConfig(evaluate=EvaluateConfig(judge="utility"), seed=SEED)
        attempt = project.rounds.filter(runs__state__in=[State.FAILED, State.CANCELLED])
        round_ = start_round(
            snapshot=snapshot,
            policy=model,
            config=config,
            key=f"demo-{attempt.distinct().count()}",
        )
        for part in round_.parts.select_related("run").order_by("pk"):
            self.reporter.step(part.get_part_display())
            self.wait(part.run)
            self.reporter.done("")
        return round_

    def run(self, project: Project, kind: str, start: Callable[[str], Run]) -> Run:
        """The demo's run of a kind, started once; one that failed or was cancelled is tried anew."""
        tried = Run.objects.filter(
            project=project,
            idempotency_key__startswith=f"demo-{kind}-",
            state__in=[State.FAILED, State.CANCELLED],
        )
        return self.wait(start(f"demo-{kind}-{tried.count()}"))

    def wait(self, run: Run) -> Run:
        """Watch a run to its end; raises DemoError when it does not succeed."""
        run.refresh_from_db()
        while not run.is_final:
            done, total = float(run.step), float(run.total_steps)
            if run.is_counted:
                done, total = run.phase_done, run.phase_total
            self.reporter.progress(done, total, run.phase)
            self.stack.check()
            self.stack.pause(0.3)
            run.refresh_from_db()
        if run.state != State.SUCCEEDED:
            raise DemoError(f"{run.name} {run.state}: {run.message or 'see its page'}")
        return run


def simulated_logins(project: Project) -> list[Login]:
    """The simulated annotators, with new passwords: nobody keeps them between two runs."""
    return [_simulated_login(project, number) for number in range(1, ANNOTATORS + 1)]


def _simulated_login(project: Project, number: int) -> Login:
    login = Login(f"simulated-{number}", secrets.token_urlsafe(24), seed=SEED + number)
    user = User.objects.filter(username=login.username, simulated=True).first()
    if user is None:
        add_member(project, login.username, Role.ANNOTATOR, login.password, simulated=True)
        return login
    user.set_password(login.password)
    user.save(update_fields=["password"])
    return login


def figures(round_: Round) -> dict[str, object]:
    """What the demo showed, from the rows alone: the same however often it is asked."""
    runs = {part.part: part.run for part in round_.parts.select_related("run")}
    first = {
        run.kind: run for run in round_.project.runs.filter(idempotency_key__startswith="demo-")
    }
    scores = runs["evaluate"].summary
    accuracy = runs["reward"].summary["accuracy"]
    seconds = {"starter": _seconds(first["pretrain"]), "completions": _seconds(first["generate"])}
    seconds |= {"labels": _label_seconds(round_)}
    seconds |= {part: _seconds(run) for part, run in runs.items()}
    return {
        "labels": round_.snapshot.labels,
        "annotators": round_.snapshot.annotators,
        "reward_accuracy": accuracy["value"],
        "reward_accuracy_ci": _ci(accuracy),
        "kl_reference": scores["kl_reference"]["value"],
        "utility_before": scores["utility_before"]["value"],
        "utility_after": scores["utility_after"]["value"],
        "utility_gain_ci": _ci(scores["utility_gain"]),
        "win_rate": scores["win_rate"]["value"],
        "win_rate_ci": _ci(scores["win_rate"]),
        "distinct_2_ratio": scores["distinct_2_ratio"]["value"],
        "seconds": seconds | {"total": round(sum(seconds.values()), 1)},
        "run_ids": [first["pretrain"].pk, first["generate"].pk, *(run.pk for run in runs.values())],
    }


def _ci(estimate: dict[str, float]) -> list[float]:
    return [estimate["low"], estimate["high"]]


def _seconds(run: Run) -> float:
    return round(run.seconds or 0.0, 1)


def _label_seconds(round_: Round) -> float:
    times = Label.objects.filter(
        task__project=round_.project, created_at__lte=round_.snapshot.created_at
    ).aggregate(first=Min("created_at"), last=Max("created_at"))
    span: timedelta = times["last"] - times["first"]
    return round(span.total_seconds(), 1)
