"""Runs and all that is written down about them; the database is the truth, the broker a doorbell."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from alignment.seam.events import seconds_left
from webapp.projects.models import Project
from webapp.queue.leases import Leased, LeasedQuerySet
from webapp.rendering.names import NameField
from webapp.site.templatetags.display import number


class State(models.TextChoices):
    """Where a run stands; services and execution hold the only transitions."""

    QUEUED = "queued", gettext_lazy("Queued")
    STARTING = "starting", gettext_lazy("Starting")
    RUNNING = "running", gettext_lazy("Running")
    STOPPING = "stopping", gettext_lazy("Stopping")
    INTERRUPTED = "interrupted", gettext_lazy("Interrupted")
    SUCCEEDED = "succeeded", gettext_lazy("Succeeded")
    FAILED = "failed", gettext_lazy("Failed")
    CANCELLED = "cancelled", gettext_lazy("Cancelled")


LIVE = (State.STARTING, State.RUNNING, State.STOPPING)
# As the badges of runs, rounds and jobs say them, and those that are no states of their own.
NAMES = (
    gettext_noop("queued"),
    gettext_noop("starting"),
    gettext_noop("running"),
    gettext_noop("pausing"),
    gettext_noop("paused"),
    gettext_noop("cancelling"),
    gettext_noop("interrupted"),
    gettext_noop("succeeded"),
    gettext_noop("failed"),
    gettext_noop("cancelled"),
)
FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class Intent(models.TextChoices):
    """What people want of a run; its supervisor reads it with every renewal."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class Worker(models.Model):
    """A process that claims runs, and the machine it is on."""

    name = models.CharField(max_length=120, unique=True)  # host:pid:start
    host = models.CharField(max_length=120)
    pid = models.IntegerField()
    queue = models.CharField(max_length=32)
    hardware = models.JSONField(default=dict)  # {"cores": …, "memory_gib": …, "gpus": [...]}
    started_at = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())
    draining = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name

    @property
    def memory_gib(self) -> float:
        """Memory of its machine; 0 where nobody has looked."""
        return float(self.hardware.get("memory_gib") or 0)

    @property
    def gpu_bytes(self) -> list[int]:
        """Memory of each of its GPUs; 0 of one that does not say it."""
        told = [str(gpu.get("memory.total", "")) for gpu in self.hardware.get("gpus") or []]
        return [int(mib) << 20 if mib.isdecimal() else 0 for mib in told]

    @property
    def machine(self) -> str:
        """What its machine has, in words."""
        words = [_("{n} cores").format(n=self.hardware.get("cores") or "?")]
        if self.memory_gib:
            words.append(f"{number(self.memory_gib)} GiB")
        gpus = self.hardware.get("gpus") or []
        return ", ".join([*words, *(gpu.get("name") or str(gpu) for gpu in gpus)])


class RunQuerySet(LeasedQuerySet["Run"]):
    """Runs by what may happen to them next."""

    def claimable(self, queue: str) -> "RunQuerySet":
        """Queued runs whose needs have all succeeded, the best first."""
        waiting = RunNeed.objects.filter(run=models.OuterRef("pk")).exclude(
            needs__state=State.SUCCEEDED
        )
        return (
            self.untired()
            .filter(queue=queue, state=State.QUEUED)
            .filter(Q(not_before__isnull=True) | Q(not_before__lte=Now()))
            .filter(~models.Exists(waiting))
            .order_by("priority", "created_at", "pk")
        )

    def under_way(self) -> "RunQuerySet":
        """Those that are not over, in an index of their own; whatever is over has an end."""
        return self.filter(ended_at__isnull=True).exclude(state__in=FINAL)

    def that_fit(self, worker: Worker) -> "RunQuerySet":
        """Those that were not yet ended for want of memory where there was as much as here."""
        return self.filter(Q(outgrew_gib__isnull=True) | Q(outgrew_gib__lt=worker.memory_gib))


class Run(Leased):
    """One queued computation; its epoch fences it, as its attempts start again when it gets on."""

    LIVE_STATES, FINAL_STATES, FENCE, LEASE = LIVE, FINAL, "epoch", "RUN_LEASE"

    project = models.ForeignKey(Project, models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=16)  # a key of runs.kinds.KINDS
    name = NameField(max_length=120)
    config = models.JSONField()  # frozen; validated by the kind's config model
    config_hash = models.CharField(max_length=64)
    code_version = models.CharField(max_length=64, blank=True)
    seed = models.BigIntegerField(default=0)

    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    reason = models.CharField(max_length=32, blank=True)  # a word: worker_lost, oom, nan, paused…
    intent = models.CharField(max_length=8, choices=Intent, default=Intent.RUN)
    priority = models.IntegerField(default=100)  # smaller goes first
    queue = models.CharField(max_length=32, default="runs")

    epoch = models.IntegerField(default=0)  # raised by each claim; fences every write
    outgrew_gib = models.FloatField(null=True, blank=True)  # memory of a worker that was too small
    worker = models.ForeignKey(Worker, models.SET_NULL, null=True, blank=True, related_name="runs")

    phase = models.CharField(max_length=64, blank=True)
    phase_done = models.FloatField(default=0)  # so much of it, by the trainer's own count
    phase_total = models.FloatField(default=0)  # 0: it is not counted
    phase_unit = models.CharField(max_length=32, blank=True)  # of both, a plural
    phase_seconds = models.FloatField(default=0)  # since it began, when this was told
    step = models.IntegerField(default=0)
    total_steps = models.IntegerField(default=0)
    progress_at = models.DateTimeField(null=True, blank=True)
    summary = models.JSONField(default=dict)  # of the Finished event
    resume_from = models.ForeignKey(
        "Checkpoint", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="again")
    idempotency_key = models.CharField(max_length=64)

    dry = models.BooleanField(default=False)  # one step of everything, of which nothing is kept
    forecast = models.JSONField(default=dict)  # runs.forecasts.Forecast, and what it held at most

    not_before = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="runs"
    )

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="run_state"),
            models.UniqueConstraint(fields=["project", "idempotency_key"], name="run_once"),
        ]
        indexes = [
            models.Index(
                fields=["queue", "priority", "created_at"],
                name="run_queue",
                condition=Q(state="queued"),
            ),
            models.Index(fields=["project", "ended_at", "id"], name="run_finished"),
            models.Index(fields=["project", "kind"], name="run_of_kind"),
            models.Index(
                fields=["project"], name="run_under_way", condition=Q(ended_at__isnull=True)
            ),
            models.Index(
                fields=["lease_until"],
                name="run_leases",
                condition=Q(state__in=["starting", "running", "stopping"]),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_counted(self) -> bool:
        """Whether it says how far its phase is."""
        return self.is_live and self.phase_total > 0

    @property
    def phase_left(self) -> float | None:
        """How many seconds its phase will go on at its own pace; None while that is unknown."""
        if not self.is_counted:
            return None
        return seconds_left(self.phase_done, self.phase_total, self.phase_seconds)

    @property
    def seconds(self) -> float | None:
        """How long it worked, from its first start to its end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def forecast_seconds(self) -> float:
        """How long it was expected to take; 0 where nobody knew."""
        return float(self.forecast.get("seconds") or 0)

    @property
    def message_kind(self) -> str:
        """As what its message is shown."""
        return {State.FAILED: "error", State.SUCCEEDED: "success"}.get(State(self.state), "warning")

    @property
    def shown_state(self) -> str:
        """The state in people's words: pausing, cancelling and paused are not states of their own."""
        if self.state == State.STOPPING:
            return "pausing" if self.intent == Intent.PAUSE else "cancelling"
        if self.state == State.INTERRUPTED and self.reason == "paused":
            return "paused"
        return str(self.state)


class RunNeed(models.Model):
    """A run waits for another and reads its output in a role."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="needs")
    needs = models.ForeignKey(Run, models.CASCADE, related_name="needed_by")
    role = models.CharField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "role"], name="one_need_per_role")]


class RunEvent(models.Model):
    """A change of state, append-only."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="events")
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=120)  # a username, a worker's name or "tend"
    epoch = models.IntegerField()
    step = models.IntegerField(default=0)  # where the run stood: what a message can name
    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16)
    reason = models.CharField(max_length=32, blank=True)
    message = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]


class RunMetric(models.Model):
    """One number of one step; after a resume the highest epoch of a step is shown."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="metrics")
    key = models.CharField(max_length=64)
    step = models.IntegerField()
    epoch = models.IntegerField()
    value = models.FloatField(null=True)  # null: not a finite number
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "key", "step", "epoch"], name="metric_once")
        ]
        indexes = [models.Index(fields=["run", "epoch", "step"], name="metric_by_step")]


class RunPoint(models.Model):
    """What a whole bucket of steps comes to on one of the run's curves; see `runs.points`."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="points")
    key = models.CharField(max_length=64)
    step = models.IntegerField()  # the bucket's last
    width = models.IntegerField()  # in steps
    epoch = models.IntegerField()  # the run's newest then: a later one may have done steps again
    total = models.FloatField(null=True)  # as its numbers, null where none is finite
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    finite = models.IntegerField()
    n = models.IntegerField()

    class Meta:
        indexes = [models.Index(fields=["run", "step"], name="point_by_step")]


class RunSpool(models.Model):
    """How far the supervisor has read a run's event file; commits together with what it read."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="spools")
    epoch = models.IntegerField()
    byte_offset = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "epoch"], name="spool_once")]


class RunSample(models.Model):
    """A completion shown on the run page: fixed prompts, before and after."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="samples")
    epoch = models.IntegerField()
    step = models.IntegerField()
    stage = models.CharField(max_length=8)  # before, after
    prompt_key = models.CharField(max_length=64)
    prompt = models.TextField()
    completion = models.TextField()
    reward = models.FloatField(null=True)
    agent = models.CharField(max_length=32, default="", blank=True)  # of a population

    class Meta:
        indexes = [models.Index(fields=["run", "prompt_key", "step"], name="sample_by_prompt")]


class Checkpoint(models.Model):
    """A saved state of a run, private to it until published."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="checkpoints")
    epoch = models.IntegerField()
    step = models.IntegerField()
    path = models.CharField(max_length=400)  # relative to settings.STORE
    manifest_sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()
    deleted = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "epoch", "step"], name="checkpoint_once")
        ]
