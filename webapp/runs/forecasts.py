"""How long a run will take and how much memory it needs, told before it starts and held against what it took.

What a run consists of is added up by its kind for the machine that takes it, whose speed its worker has measured. What
earlier runs of the kind took of such a sum in this project says how far it is off; without one it stands as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from statistics import median
from typing import NamedTuple

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from pydantic import ValidationError

from alignment.kinds import KINDS
from alignment.kinds.kind import Kind
from alignment.seam.memory import Shape
from alignment.seam.settings import Settings
from alignment.seam.timing import ANSWERED, ASKED, LETTERS, Extent, Speed, Timing
from webapp.artifacts.models import Artifact
from webapp.labeling.models import Completion
from webapp.projects.models import Project, Split
from webapp.runs.models import Run, State, Worker
from webapp.runs.waiting import live_workers
from webapp.site.pages import COUNTED, count_up_to

GENERATIONS = 12  # looked back for the shape of a model
LINE = """
    WITH RECURSIVE line(artifact, generation) AS (
        SELECT CAST(%(model)s AS bigint), 1
        UNION ALL
        SELECT begun.artifact_id, generation + 1 FROM line
        JOIN registry_artifact made ON made.id = line.artifact
        JOIN registry_artifactinput begun ON begun.run_id = made.producer_id AND begun.role IN ('policy', 'backbone')
        WHERE generation < %(generations)s
    )
    SELECT registry_artifact.* FROM line JOIN registry_artifact ON id = artifact ORDER BY generation
"""
START = ("policy", "backbone", "reward")  # roles of the model that a run's time and memory go by
TOOK = ("name", "epoch", "started_at", "ended_at", "forecast")  # of a run that is looked back at
EARLIER = 5  # runs of a kind that a forecast goes by
RATES = ("block", "operations", "bandwidth")  # of a speed, none of which can be 0
AROUND = 0.5  # seconds of each run for its folder, its files and what it leaves
LOOKED_AT = 50  # prompts and answers whose lengths stand for all


class Forecast(NamedTuple):
    """What a run is expected to take."""

    seconds: float = 0.0  # 0: nobody knows
    summed: float = 0.0  # what its parts sum up to on the machine; 0: nobody knows
    runs: int = 0  # earlier runs of its kind that it goes by
    memory: int = 0  # bytes; 0: nobody knows


class Ground:
    """What a start in one project goes by, read once for all of a request: its stock, its runs, its models' memory."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._memory: dict[int, tuple[Shape | None, Mapping[str, int]]] = {}
        self._done: dict[str, Sequence[Run]] = {}

    @cached_property
    def types(self) -> frozenset[str]:
        """The types of artifacts of which the project has some."""
        return frozenset(self.project.artifacts.values_list("type", flat=True).distinct())

    @cached_property
    def lengths(self) -> tuple[int, int]:
        """As `usual_lengths` has them."""
        return usual_lengths(self.project)

    def done(self, kind: Kind) -> Sequence[Run]:
        """The newest runs of a kind that came to their end."""
        if kind.name not in self._done:
            rows = self.project.runs.filter(kind=kind.name, state=State.SUCCEEDED, dry=False)
            self._done[kind.name] = list(rows.only(*TOOK).order_by("-ended_at")[:EARLIER])
        return self._done[kind.name]

    def memory_of(self, model: Artifact) -> tuple[Shape | None, Mapping[str, int]]:
        """As `known_memory` has it."""
        if model.pk not in self._memory:
            self._memory[model.pk] = known_memory(model)
        return self._memory[model.pk]


def forecast_of(
    kind: Kind,
    config: Settings,
    inputs: Mapping[str, Artifact],
    ground: Ground,
    worker: Worker | None,
) -> Forecast:
    """What a run with these settings is expected to take, by this worker."""
    start = next((inputs[role] for role in START if role in inputs), None)
    shape, known = (None, {}) if start is None else ground.memory_of(start)
    memory = kind.memory(config, shape) if shape or start is None else known.get(kind.name, 0)
    summed = 0.0
    if (speed := speed_of(worker)) is not None:
        summed = summed_seconds(kind, config, extent_of(kind, config, inputs, ground, shape), speed)
    earlier = list(_earlier(ground.done(kind)))
    ratios = [took / before for took, before in earlier if before]
    if summed and ratios:
        return Forecast(summed * median(ratios), summed, len(ratios), memory)
    if not summed and earlier:  # nobody can say how settings change it
        return Forecast(earlier[0][0], 0.0, 1, memory)
    return Forecast(summed, summed, 0, memory)


def summed_seconds(kind: Kind, config: Settings, extent: Extent, speed: Speed) -> float:
    """What the parts of a run sum up to; 0 where its kind or its model's shape is not known."""
    reads_model = any(one.role in START and one.is_read(config) for one in kind.inputs)
    if reads_model and extent.shape is None:
        return 0.0
    found = kind.summed(config, Timing(speed, extent))
    return found + speed.start + AROUND if found else 0.0


def speed_of(worker: Worker | None) -> Speed | None:
    """How fast a worker's machine is; None where it has not been measured, or by another version's measures.

    A worker that has had a run holds a trainer that has loaded: its next run begins at once.
    """
    found = worker.hardware.get("speed") if worker else None
    if worker is None or not isinstance(found, Mapping) or found.keys() != set(Speed._fields):
        return None
    if not all(found[name] > 0 for name in RATES):
        return None
    speed = Speed(**found)
    served = getattr(worker, "served", False)  # `live_workers` asks
    return speed._replace(start=0.0) if served else speed


def _earlier(done: Iterable[Run]) -> Iterable[tuple[float, float]]:
    """What runs took, and what their parts summed up to before."""
    for run in done:
        if run.epoch == 1 and run.seconds:  # what was interrupted also waited
            yield run.seconds, run.forecast.get("summed", 0.0)


def likely_worker(workers: Iterable[Worker] | None = None) -> Worker | None:
    """Which of these, or of all that live, will probably take the next run: one whose machine is measured, before others."""
    known = live_workers() if workers is None else workers
    there = sorted(known, key=lambda worker: (speed_of(worker) is None, worker.pk))
    return there[0] if there else None


def keep_forecast(run: Run) -> None:
    """Note what a run whose trainer has loaded is expected to take, as far as that can be said: its worker's machine is measured."""
    if run.epoch > 1 or run.dry or run.resume_from_id:  # it does not begin at its beginning
        return
    kind = KINDS[run.kind]
    given = {row.role: row.artifact for row in run.inputs.select_related("artifact__snapshot")}
    try:
        config = kind.settings.stored(run.config)
    except ValidationError:  # of another version: its trainer says so
        return
    taken = ExpressionWrapper(Now() - F("runs__started_at"), output_field=DurationField())
    worker = Worker.objects.filter(runs=run).annotate(loading=taken).first()
    if worker is not None and speed_of(worker) is not None and worker.loading is not None:
        worker.hardware["speed"] |= {"start": max(0.0, worker.loading.total_seconds())}
    run.forecast = forecast_of(kind, config, given, Ground(run.project), worker)._asdict()
    Run.objects.filter(pk=run.pk, epoch=run.epoch).update(forecast=run.forecast)


def extent_of(
    kind: Kind,
    config: Settings,
    inputs: Mapping[str, Artifact],
    ground: Ground,
    shape: Shape | None,
) -> Extent:
    """How much a run would read, and by which model."""
    asked, answered = ground.lengths
    return Extent(
        shape=shape,
        rows=learned_rows(config, inputs),
        prompts=readable_prompts(kind, ground.project, getattr(config, "prompts", COUNTED)),
        asked=asked,
        answered=answered,
        tokens=_letters_of(inputs.get("corpus")) // LETTERS,
    )


def learned_rows(config: Settings, inputs: Mapping[str, Artifact]) -> int:
    """How many labels or texts a run would learn from."""
    labels = inputs.get("labels") or inputs.get("judged")
    if labels is not None:
        split, snapshot = getattr(config, "labels", Split.TRAIN), labels.snapshot
        alone = snapshot.alone_in(split) if getattr(config, "learned", "") == "thumbs" else 0
        return alone or snapshot.pairs_in(split) + snapshot.written_in(split)
    texts = inputs.get("texts")
    return int(texts.summary.get("texts") or 0) if texts else 0


def readable_prompts(kind: Kind, project: Project, wanted: int) -> int:
    """How many prompts of the project a kind could read; one more than are wanted stands for all beyond."""
    if kind.prompts is None:
        return 0
    if kind.prompts.split == Split.TEST:
        return count_up_to(project.prompts.of_split(Split.TEST), wanted)
    return count_up_to(project.prompts.for_labels(), wanted)


def usual_lengths(project: Project) -> tuple[int, int]:
    """Tokens of a prompt and of an answer, by the letters of some that the project has."""
    prompts = list(project.prompts.of_split(Split.TRAIN)[:LOOKED_AT])
    asked = [sum(len(str(turn.get("content") or "")) for turn in one.messages) for one in prompts]
    texts = Completion.objects.filter(prompt__in=prompts).values_list("text", flat=True)
    answers = [len(text) for text in texts[:LOOKED_AT]]
    return _tokens(asked, ASKED), _tokens(answers, ANSWERED)


def _tokens(letters: list[int], usual: int) -> int:
    return max(1, round(sum(letters) / len(letters) / LETTERS)) if letters else usual


def _letters_of(corpus: Artifact | None) -> int:
    """Bytes of a stored file of documents."""
    if corpus is None or not corpus.path.is_dir():
        return 0
    return sum(path.stat().st_size for path in corpus.path.iterdir())


def known_memory(model: Artifact) -> tuple[Shape | None, Mapping[str, int]]:
    """What decides a model's memory, and the estimates by kind that were made before that was kept.

    Its own card says it, or that of the model it was trained from.
    """
    estimates: Mapping[str, int] = {}
    for earlier in trained_from(model):
        if known := earlier.summary.get("shape"):
            return Shape(**known), estimates
        estimates = estimates or earlier.summary.get("memory", {})
    return None, estimates


def trained_from(model: Artifact) -> Iterable[Artifact]:
    """A model, then the start of the run that made it, and so on for some generations."""
    return Artifact.objects.raw(LINE, {"model": model.pk, "generations": GENERATIONS})
