"""What a run will do if its form is sent as it is, in sentences, before anybody waits for it."""

from collections.abc import Iterable, Sequence

from django.utils.translation import gettext as _

from alignment.kinds.kind import Given, Kind
from webapp.artifacts.models import Artifact
from webapp.datasets.models import Snapshot
from webapp.datasets.warnings import warned_of
from webapp.launch.checks import Asked
from webapp.launch.form import StartForm
from webapp.launch.memory import memory_in_words
from webapp.projects.models import Project, Split
from webapp.runs.forecasts import forecast_of, likely_worker, readable_prompts
from webapp.runs.models import Run, Worker
from webapp.runs.waiting import live_workers
from webapp.site.pages import COUNTED
from webapp.site.templatetags.display import duration

STEPS = {30: 1, 120: 5, 600: 30, 7200: 60}  # of forecasts below so many seconds


def outlook(form: StartForm) -> list[str]:
    """The sentences of a form as it is filled in, sent or not."""
    form = form if form.is_bound else as_it_would_be_sent(form)
    if not form.is_valid():
        return [_("Something has to be mended or chosen before the run can start.")]
    asked = Asked(form.config, form.inputs)
    words = form.kind.sentence(form.config, _given(form.kind, asked, form.project))
    facts = f"{expected(form)} {where(form.workers)}{memory_in_words(form.needed)}"
    labels = asked.inputs.get("labels")
    return [words, facts, *(labels_warned(labels.snapshot) if labels else ())]


def labels_warned(snapshot: Snapshot) -> list[str]:
    """What is wrong with the labels that a run would learn from, and what to do."""
    warned = warned_of(snapshot.manifest)
    if snapshot.erasures.exists():
        warned.append(_("It holds data of an erased person: freeze a new snapshot instead."))
    return warned


def as_it_would_be_sent(form: StartForm) -> StartForm:
    """The same form, filled in by nobody; its fields are made once for both."""
    values = {field.html_name: field.value() for field in form}
    return form.filled_with({name: value for name, value in values.items() if value is not None})


def _given(kind: Kind, asked: Asked, project: Project) -> Given:
    """What a run would read, by name and number."""
    labels, reward = asked.inputs.get("labels"), asked.inputs.get("reward")
    split = getattr(asked.config, "labels", Split.TRAIN)
    return Given(
        names={
            role: str(row.snapshot if row.type == Artifact.Type.SNAPSHOT else row)
            for role, row in asked.inputs.items()
        },
        pairs=labels.snapshot.pairs_in(split) if labels else 0,
        alone=labels.snapshot.alone_in(split) if labels else 0,
        written=labels.snapshot.written_in(split) if labels else 0,
        prompts=readable_prompts(kind, project, getattr(asked.config, "prompts", COUNTED)),
        tilts=dict(reward.summary.get("ess_by_beta") or []) if reward else {},
    )


def expected(form: StartForm) -> str:
    """How long the run would take that a valid form describes."""
    worker = likely_worker(form.workers)
    found = forecast_of(form.kind, form.config, form.inputs, form.ground, worker)
    if not found.summed:
        return how_long(form.ground.done(form.kind))
    return expected_in_words(found.seconds, worker, known=found.runs > 0)


def expected_in_words(seconds: float, worker: Worker | None, *, known: bool) -> str:
    """A forecast, and whether it is known from earlier runs how far such sums are off."""
    time, host = duration(in_steps(seconds)), worker.host if worker else ""
    words = (
        _("It takes about {time}, by its settings and what earlier runs of this kind took.")
        if known
        else _(
            "It takes about {time}, by its settings and how fast {host} computes: no run of this kind has finished yet."
        )
    )
    return words.format(time=time, host=host)


def in_steps(seconds: float) -> float:
    """A forecast no finer than it is sure: to seconds, to tens of them, to minutes."""
    step = next((step for most, step in STEPS.items() if seconds < most), 600)
    return max(step, step * round(seconds / step))


def how_long(done: Sequence[Run]) -> str:
    """What the last of the finished runs of a kind took, where nobody knows more."""
    last = next(iter(done), None)
    if last is None or last.seconds is None:
        return _("No run of this kind has finished yet, so nobody knows how long it takes.")
    return _("The last one of this kind ({name}) took {time}.").format(
        name=last.name, time=duration(last.seconds)
    )


def where(workers: Iterable[Worker] | None = None) -> str:
    """Which machines are there to do it: those of these workers, or of all that live."""
    there = live_workers() if workers is None else workers
    hosts = sorted({worker.host for worker in there})
    if not hosts:
        return _("No worker is running: it waits until one is started.")
    return _("It runs on {hosts}.").format(hosts=", ".join(hosts))
