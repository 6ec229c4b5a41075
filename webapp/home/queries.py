"""What the home pages show: the loop, its next step, and the state of the house."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Now
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.datasets.models import Snapshot
from webapp.datasets.queries import unfrozen
from webapp.labeling.models import Completion, Task
from webapp.launch.checks import FEWEST_PAIRS
from webapp.machine import disk, programs
from webapp.machine.programs import Report
from webapp.projects.models import Membership, Project, Prompt, PromptQuerySet, Split
from webapp.rounds.queries import Standing, standing, with_parts
from webapp.runs.models import Run, State, Worker
from webapp.runs.waiting import live_workers
from webapp.site.htmx import is_key
from webapp.site.pages import (
    COUNTED,
    ROWS,
    Page,
    count_up_to,
    in_figures,
    number_of,
    number_up_to,
    page_of,
)

FEWEST_LABELS = 48  # new labels worth a snapshot: with fewer a round or its judge lacks pairs
ENOUGH_LABELS = 100  # new labels worth a snapshot even while tasks wait
RECENT = timedelta(days=7)
MATCHES = 1000  # a search counts no further
LISTED = 1000  # a list of projects counts no further in each
ROLES = {
    Role.ANNOTATOR: ngettext_lazy("%(n)d annotator", "%(n)d annotators", "n"),
    Role.RESEARCHER: ngettext_lazy("%(n)d researcher", "%(n)d researchers", "n"),
    Role.ADMIN: ngettext_lazy("%(n)d admin", "%(n)d admins", "n"),
}


class Facts(NamedTuple):
    """Where a project stands, as far as its next step depends on it."""

    prompts: int
    waiting: int  # tasks with a free place
    labels: int
    new_labels: int
    new_ranked: int
    model: Artifact | None
    reward: Artifact | None
    snapshot: Snapshot | None
    used: int  # rounds of that snapshot
    round: Standing | None
    making: Run | None  # a run under way that will give tasks or a model, outside a round


class Step(NamedTuple):
    """The one thing to do next: at which node of the loop, in words, and where."""

    node: str
    action: str
    url: str


class Node(NamedTuple):
    """One station of the loop."""

    name: str
    title: str
    state: str  # succeeded, running, failed, … or empty while it has not begun
    value: str
    note: str
    at: datetime | None
    url: str
    next: Step | None  # only the node whose turn it is


def facts(project: Project) -> Facts:
    """Everything the loop shows, read once."""
    counts = unfrozen(project, ("labels", "ranked", "new_labels", "new_ranked"))
    frozen = project.snapshots.annotate(used=Count("rounds")).order_by("-number").first()
    last_round = with_parts(project.rounds.all()).first()
    alone = Run.objects.under_way().filter(project=project, parts__isnull=True)
    under_way = alone.filter(kind__in=["pretrain", "generate"]).order_by("-pk")
    return Facts(
        prompts=count_up_to(project.prompts.all()),
        waiting=count_up_to(project.tasks.open()),
        labels=counts["labels"],
        new_labels=counts["new_labels"],
        new_ranked=counts["new_ranked"],
        model=project.artifacts.models().first(),
        reward=project.artifacts.reward_models().first(),
        snapshot=frozen,
        used=frozen.used if frozen else 0,
        round=standing(last_round) if last_round else None,
        making=under_way.first(),
    )


def next_step(project: Project, now: Facts) -> Step:
    """What moves the loop on, decided by the first thing that is missing or ready."""
    for rule in (_finish_what_runs, _feed_the_trainer, _get_tasks_answered):
        if (step := rule(project, now)) is not None:
            return step
    return _get_tasks(project, now)


def _finish_what_runs(project: Project, now: Facts) -> Step | None:
    if not now.prompts:
        return Step("labels", _("Add prompts"), reverse("prompts", args=[project.pk]))
    if now.round and now.round.state != "succeeded":
        stuck = now.round.state in ("failed", "cancelled", "interrupted", "paused")
        action = _("See why the round stopped") if stuck else _("Watch the round")
        return Step(
            "round", action, reverse("rounds:detail", args=[project.pk, now.round.round.pk])
        )
    if now.making:
        return Step(
            "tasks", _("Watch the run"), reverse("runs:detail", args=[project.pk, now.making.pk])
        )
    return None


def _feed_the_trainer(project: Project, now: Facts) -> Step | None:
    ready = now.snapshot and not now.used and _can_train(now.snapshot)
    if ready and now.model:
        return Step("round", _("Start a round"), reverse("rounds:launch", args=[project.pk]))
    if not ready and _worth_freezing(now):
        url = reverse("datasets:snapshots", args=[project.pk])
        return Step("snapshot", _("Freeze a snapshot"), url)
    return None


def _can_train(snapshot: Snapshot) -> bool:
    return snapshot.pairs_in(Split.TRAIN) >= FEWEST_PAIRS[Split.TRAIN]


def _worth_freezing(now: Facts) -> bool:
    """Whether what is new makes a snapshot to train on; one that was too small does not count."""
    too_small = now.snapshot and not now.used
    labels = now.labels if too_small else now.new_labels
    enough = ENOUGH_LABELS if now.waiting else FEWEST_LABELS
    return bool(now.new_ranked or (now.new_labels and labels >= enough))


def _get_tasks_answered(project: Project, now: Facts) -> Step | None:
    if not now.waiting:
        return None
    return Step("labels", _("Label answers"), reverse("labeling:label", args=[project.pk]))


def _get_tasks(project: Project, now: Facts) -> Step:
    start = reverse("runs:start", args=[project.pk])
    if now.model is None:
        return Step("tasks", _("Train the starter model"), f"{start}?kind=pretrain")
    return Step("tasks", _("Answer prompts"), f"{start}?kind=generate&policy={now.model.pk}")


def loop(project: Project, now: Facts) -> list[Node]:
    """The five stations in order, one of them with the next step."""
    step = next_step(project, now)
    nodes = [_labels(project, now), _snapshot(project, now), _reward(project, now)]
    nodes += [_round(project, now), _tasks(project, now)]
    return [node._replace(next=step if node.name == step.node else None) for node in nodes]


def _labels(project: Project, now: Facts) -> Node:
    value = in_figures(now.new_labels)
    note = _("since the last snapshot; {n} in all").format(n=in_figures(now.labels))
    url = reverse("labeling:labels", args=[project.pk])
    return Node("labels", _("New labels"), "", value, note, None, url, None)


def _snapshot(project: Project, now: Facts) -> Node:
    title, last = _("Snapshot"), now.snapshot
    if last is None:
        return Node(
            "snapshot", title, "", _("None yet"), _("freezes labels for training"), None, "", None
        )
    url = reverse("datasets:snapshot", args=[project.pk, last.pk])
    note = _("{n} pairs").format(n=f"{last.pairs:,}")
    return Node(
        "snapshot",
        title,
        "",
        _("No. {number}").format(number=last.number),
        note,
        last.created_at,
        url,
        None,
    )


def _reward(project: Project, now: Facts) -> Node:
    title, last = _("Reward model"), now.reward
    if last is None:
        return Node("reward", title, "", _("None yet"), _("a round trains it"), None, "", None)
    accuracy = last.summary.get("accuracy") or {}
    share = accuracy.get("value")
    value = _("Trained") if share is None else _("{n} % right").format(n=f"{100 * share:.0f}")
    url = reverse("registry:model", args=[project.pk, last.pk])
    return Node("reward", title, "", value, _("on held-out pairs"), last.created_at, url, None)


def _round(project: Project, now: Facts) -> Node:
    if now.round is None:
        return Node("round", _("Round"), "", _("None yet"), _("aligns the model"), None, "", None)
    row = now.round.round
    url = reverse("rounds:detail", args=[project.pk, row.pk])
    note = (
        now.round.verdict.badge
        if now.round.verdict
        else _("{n} % done").format(n=now.round.percent)
    )
    return Node(
        "round",
        _("Round"),
        now.round.state,
        _("No. {number}").format(number=row.number),
        note,
        row.created_at,
        url,
        None,
    )


def _tasks(project: Project, now: Facts) -> Node:
    value = _("{n} waiting").format(n=in_figures(now.waiting))
    note = (
        _("answers by {model}").format(model=now.model.name)
        if now.model
        else _("needs a model to write answers")
    )
    state = now.making.shown_state if now.making else ""
    url = reverse("labeling:tasks", args=[project.pk])
    return Node("tasks", _("New tasks"), state, value, note, None, url, None)


class House(NamedTuple):
    """What an admin looks after."""

    people: Mapping[str, int]
    simulated: int
    free_bytes: int
    stored_bytes: int
    workers: list[Worker]
    failed: int
    failures: list[Run]  # the newest of them
    programs: list[Report]  # that the keeper of this machine keeps
    full: bool  # whether the disk takes nothing more

    @property
    def members(self) -> int:
        """All of them, simulated ones too."""
        return sum(self.people.values())

    @property
    def people_in_words(self) -> str:
        """How many there are of each role, and how many of all are simulated."""
        words = ", ".join(ROLES[Role(role)] % {"n": n} for role, n in self.people.items())
        return (
            _("{people}; {n} simulated").format(people=words, n=self.simulated)
            if self.simulated
            else words
        )


def house(project: Project) -> House:
    """People by role, disk, workers and programs, and the runs that failed in the last week."""
    members = project.memberships.values("role").annotate(n=Count("pk")).values_list("role", "n")
    failed = project.runs.filter(state=State.FAILED, ended_at__gte=Now() - RECENT)
    return House(
        people=dict(members.order_by()),
        simulated=project.memberships.filter(user__simulated=True).count(),
        free_bytes=shutil.disk_usage(settings.VAR).free,
        stored_bytes=project.artifacts.aggregate(total=Sum("bytes"))["total"] or 0,
        workers=list(live_workers()),
        failed=failed.count(),
        failures=list(failed[:5]),
        programs=programs.read(),
        full=disk.has_no_room(),
    )


def with_roles(projects: QuerySet[Project], user_id: int) -> QuerySet[Project]:
    """Projects with the viewer's role."""
    mine = Membership.objects.filter(project=OuterRef("pk"), user=user_id).values("role")
    return projects.annotate(my_role=Subquery(mine[:1]))


def counts_of(projects: Sequence[Project]) -> list[tuple[Project, int, int]]:
    """Some projects with their prompts and waiting tasks, up to LISTED of each, counted in one query."""
    open_ = Task.objects.open().order_by("priority", "key", "pk")
    counted = Project.objects.filter(pk__in=[one.pk for one in projects]).annotate(
        written=number_up_to(Prompt.objects.order_by("split", "key"), "project", LISTED),
        waiting=number_up_to(open_, "project", LISTED),
    )
    rows = counted.order_by().values_list("pk", "written", "waiting")
    numbers = {pk: (written, waiting) for pk, written, waiting in rows}
    return [(one, *numbers[one.pk]) for one in projects if one.pk in numbers]


def prompts_asked(
    project: Project, *, text: str = "", split: str = "", tag: str = ""
) -> PromptQuerySet:
    """The project's prompts with these words and this tag, of this split."""
    prompts: PromptQuerySet = project.prompts.tagged(tag)
    if text:
        prompts = prompts.saying(text)
    return prompts.filter(split=split) if split else prompts


def with_answers(prompts: PromptQuerySet) -> PromptQuerySet:
    """With what a row of the list shows: who wrote it, and how many answers it has."""
    ours = prompts.select_related("author").prefetch_related("tags")
    return ours.annotate(answers=number_of(Completion.objects.all(), "prompt"))


class Looked(NamedTuple):
    """The prompts that one search for words looks through: those before one, down to another."""

    before: int | None  # None: from the newest
    last: int | None  # None: to the oldest

    def through(self, prompts: PromptQuerySet) -> PromptQuerySet:
        """Only these."""
        newer = prompts.filter(pk__lt=self.before) if self.before else prompts
        return newer.filter(pk__gte=self.last) if self.last else newer


def looked_through(project: Project, after: str) -> Looked:
    """So many prompts from where an address stands: no index has words that are parts of others."""
    before = int(after) if is_key(after) else None
    rows = (
        Looked(before, None).through(project.prompts.order_by("-pk")).values_list("pk", flat=True)
    )
    return Looked(before, rows[COUNTED - 1 : COUNTED].first())


class PromptsFound(NamedTuple):
    """What a search for words found among the prompts that it looked through, the newest first."""

    page: Page[Prompt]
    number: int  # counted up to MATCHES
    goes_on: bool  # whether there are more to be looked through


def search(
    project: Project, query: QueryDict, *, text: str, split: str, tag: str = ""
) -> PromptsFound:
    """The page that an address names of the prompts with these words; their texts are read once."""
    matching = prompts_asked(project, text=text, split=split, tag=tag)
    after, page = query.get("after", ""), None
    if "before" in query:
        earlier = page_of(with_answers(matching), query, "-pk")
        if earlier.before is not None:
            page, after = earlier, str(earlier[0].pk + 1)
    looked = looked_through(project, after)
    through = looked.through(matching).order_by("-pk")
    keys = list(through.values_list("pk", flat=True)[: MATCHES + 1])
    page = page or page_of(
        with_answers(project.prompts.filter(pk__in=keys[: ROWS + 1])), query, "-pk"
    )
    if page.after is None and looked.last:
        page = replace(page, after=looked.last)  # there may be others further on
    return PromptsFound(page, len(keys), bool(looked.last))
