"""The demo: the product's main job, played once through the real parts, idempotently.

Each step first looks for what an earlier run of the demo left in the database.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

from django.db.models import Max, Min
from django.urls import reverse

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.seam.records import Message
from alignment.world import grammar
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.datasets.models import Snapshot
from webapp.datasets.services import freeze_snapshot
from webapp.demo import newcomers
from webapp.demo.annotators import Annotator, Login, label_all, signed_in
from webapp.demo.lab import aligned, lab_orders
from webapp.labeling.models import Label, Task
from webapp.operations.stack import Stack, address
from webapp.people.services import add_member
from webapp.projects.models import Project, Prompt
from webapp.projects.services import add_prompts
from webapp.rounds.config import RoundConfig
from webapp.rounds.models import Round
from webapp.rounds.queries import standing
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
NEAR = 1.5  # the factor within which a forecast is near


STARTER = Order(kind="pretrain", name="Starter model", config=PretrainConfig(), seed=SEED, key="")
COMPLETIONS = Order(
    kind="generate",
    name="First completions",
    config=GenerateConfig(prompts=720),
    seed=SEED,
    key="",
)
# Each prompt is learned from twice: the start model is asked about no more than that needs.
ROUND = RoundConfig(
    align=AlignConfig(prompts=320), evaluate=EvaluateConfig(judge="utility"), seed=SEED
)


class Script(NamedTuple):
    """What is played: in which project, with which model, and the settings of each step."""

    project: str
    guidelines: str
    prompts: Callable[[], Iterable[Sequence[Message]]]
    title: str  # of the step that makes or brings the model
    model: Order
    completions: Order
    round: RoundConfig


def starter_script() -> Script:
    """The starter model, which is trained from scratch, answers prompts of its own world."""
    return Script(
        project=PROJECT,
        guidelines=GUIDELINES,
        prompts=lambda: grammar.prompts(SEED, PROMPTS),
        title="Starter model, from scratch",
        model=STARTER,
        completions=COMPLETIONS,
        round=ROUND,
    )


class DemoError(Exception):
    """A step did not work out; the message says which and what to try."""


class Reporter(Protocol):
    """Where the demo shows how far it is."""

    def step(self, title: str) -> None:
        """A new step begins."""

    def progress(self, done: float, total: float, note: str = "") -> None:
        """The current step moved on."""

    def done(self, note: str, page: str) -> None:
        """The current step is over; that page shows it."""


class Demo:
    """The steps, each of which does only what is not yet done."""

    def __init__(self, stack: Stack, reporter: Reporter, script: Script | None = None) -> None:
        self.stack = stack
        self.reporter = reporter
        self.script = script or starter_script()

    def play(self, project: Project) -> Round:
        """All steps in order; the finished round."""
        training = self.begin(project, self.script.model)
        if (snapshot := project.snapshots.order_by("number").first()) is not None:
            model = self.starter(training)
        else:  # people come while the model learns
            with signed_in(self.stack.url, simulated_logins(project)) as people:
                model = self.starter(training)
                self.completions(project, model)
                snapshot = self.labels(project, people)
        return self.round(project, snapshot, model)

    def page(self, name: str, *keys: int) -> str:
        """The address of a page, as people reach it."""
        return address(self.stack) + reverse(name, args=keys)

    def project(self) -> Project:
        """The demo's project with its prompts."""
        self.reporter.step("Project and prompts")
        project, _ = Project.objects.get_or_create(
            name=self.script.project, defaults={"guidelines": self.script.guidelines}
        )
        if not project.prompts.exists():
            add_prompts(project, self.script.prompts(), source=Prompt.Source.GENERATED)
        self.reporter.done(f"{project.prompts.count()} prompts", self.page("prompts", project.pk))
        return project

    def starter(self, training: Run) -> Artifact:
        """The language model everything starts from."""
        self.reporter.step(self.script.title)
        run = self.wait(training)
        model = run.outputs.get(type=Artifact.Type.MODEL)
        note = f"{run.summary['parameters']:,} parameters"
        self.reporter.done(note, self.page("registry:model", run.project_id, model.pk))
        return model

    def completions(self, project: Project, model: Artifact) -> None:
        """Some answers to each prompt, queued as compare tasks."""
        self.reporter.step("Completions of the model")
        order = self.script.completions._replace(inputs={"policy": model})
        run = self.wait(self.begin(project, order))
        asked = Task.objects.filter(items__completion__run=run).distinct()
        self.reporter.done(
            f"{asked.count()} compare tasks", self.page("labeling:tasks", project.pk)
        )

    def labels(self, project: Project, people: Sequence[Annotator]) -> Snapshot:
        """Simulated annotators answer every task over HTTP, real ones beside them; the labels are frozen."""
        self.reporter.step("Labels by simulated annotators, over HTTP")
        left, total = project.tasks.open().count(), project.tasks.count()
        counter = iter(range(total - left + 1, 10 * total))

        def tell() -> None:
            self.reporter.progress(next(counter), total)

        def leave(n: int) -> None:
            self.reporter.progress(total - n, total, f"{n} are left for you")

        label_all(project.pk, people, tell, max(0, left - len(people) - newcomers.LEFT))
        newcomers.wait_for_people(project, self.pause, leave)
        label_all(project.pk, people, tell)
        snapshot = freeze_snapshot(project)
        theirs = newcomers.labels_of_people(project)
        beside = f", {theirs} of them by people" if theirs else ""
        self.reporter.done(
            f"{snapshot.labels} labels{beside}, {snapshot.pairs} pairs",
            self.page("datasets:snapshot", project.pk, snapshot.pk),
        )
        return snapshot

    def round(self, project: Project, snapshot: Snapshot, model: Artifact) -> Round:
        """Reward model, alignment, evaluation, new completions."""
        attempt = project.rounds.filter(runs__state__in=[State.FAILED, State.CANCELLED])
        round_ = start_round(
            snapshot=snapshot,
            policy=model,
            config=self.script.round,
            key=f"demo-{attempt.distinct().count()}",
        )
        for part in round_.parts.select_related("run").order_by("pk"):
            self.reporter.step(part.get_part_display())
            run = self.wait(part.run)
            self.reporter.done("", self.page("runs:detail", project.pk, run.pk))
        return round_

    def lab(self, round_: Round) -> str:
        """Smaller models of the aligned one; the page that compares them."""
        for order in lab_orders(round_, SEED):
            self.reporter.step(order.name)
            run = self.wait(self.begin(round_.project, order))
            note = f"{100 * run.summary['bytes_ratio']:.0f} % of the bytes"
            self.reporter.done(note, self.page("runs:detail", run.project_id, run.pk))
        return self.page("registry:smaller", round_.project_id, aligned(round_).pk)

    def found(self, round_: Round) -> list[str]:
        """What the round found, and what there is to do next, each with its page."""
        verdict = standing(round_).verdict
        at = self.page("rounds:detail", round_.project_id, round_.pk)
        label = self.page("labeling:label", round_.project_id)
        said = verdict.sentence if verdict else "is over."
        return [
            f"{round_}: {said}  {at}",
            f"Next, label what the aligned model answers:  {label}",
        ]

    def begin(self, project: Project, order: Order) -> Run:
        """The demo's run of a kind, started once; one that failed or was cancelled is tried anew."""
        key = f"demo-{order.kind}-"
        tried = project.runs.filter(
            idempotency_key__startswith=key, state__in=[State.FAILED, State.CANCELLED]
        )
        return start_run(project, order._replace(key=f"{key}{tried.count()}"))

    def pause(self, seconds: float) -> None:
        """Let time pass; raises StackError where nothing is left to wait for."""
        self.stack.check()
        self.stack.pause(seconds)

    def wait(self, run: Run) -> Run:
        """Watch a run to its end; raises DemoError when it does not succeed."""
        run.refresh_from_db()
        while not run.is_final:
            done, total = float(run.step), float(run.total_steps)
            if run.is_counted:
                done, total = run.phase_done, run.phase_total
            self.reporter.progress(done, total, run.phase)
            self.pause(0.3)
            run.refresh_from_db()
        if run.state != State.SUCCEEDED:
            raise DemoError(self.what_to_try(run))
        return run

    def what_to_try(self, run: Run) -> str:
        """Why a run did not succeed, as far as it is known, and what then."""
        why = run.message or "its log says why"
        at = self.page("runs:detail", run.project_id, run.pk)
        return (
            f"{run.name} {run.state}: {why}\n"
            f"Its page and its log: {at}\n"
            "Start the demo again to try this step anew; what is done stays."
        )


def simulated_logins(project: Project) -> list[Login]:
    """The simulated annotators, with new passwords: nobody keeps them between two runs."""
    return [_simulated_login(project, number) for number in range(1, ANNOTATORS + 1)]


def _simulated_login(project: Project, number: int) -> Login:
    """Of an account that labels in this project, in which it may be for the first time."""
    login = Login(f"simulated-{number}", secrets.token_urlsafe(24), seed=SEED + number)
    user = User.objects.filter(username=login.username, simulated=True).first()
    if user is None or not project.memberships.filter(user=user).exists():
        add_member(project, login.username, Role.ANNOTATOR, login.password, simulated=True)
    if user is not None:
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
    model = first.get("pretrain") or first["import"]
    seconds = {"starter": _seconds(model), "completions": _seconds(first["generate"])}
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
        "forecast": forecasts([*first.values(), *runs.values()]),
        "run_ids": [model.pk, first["generate"].pk, *(run.pk for run in runs.values())],
    }


def forecasts(runs: Iterable[Run]) -> dict[str, object]:
    """What runs took, of what they were expected to; and the share of them that took it within a factor."""
    ratios = {
        f"{run.kind} {run.pk}": round(run.seconds / run.forecast_seconds, 2)
        for run in runs
        if run.seconds and run.forecast_seconds
    }
    near = [ratio for ratio in ratios.values() if 1 / NEAR <= ratio <= NEAR]
    return {"took_of_forecast": ratios, "near": len(near), "of": len(ratios)}


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
