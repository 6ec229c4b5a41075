"""Answers to the project's prompts: which prompts, and what becomes of what was written."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from django.db.models import Case, Exists, OuterRef, Q, Value, When

from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.settings.drawing import DrawingSettings
from alignment.seam.records import CompletionRecord, read_jsonl
from webapp.artifacts.models import Artifact
from webapp.labeling.models import Completion
from webapp.labeling.services import ask_about
from webapp.runs import inputs, outputs
from webapp.runs.models import Run

PUBLISH_BATCH = 500


def prepare(run: Run, folder: Path) -> inputs.Paths:
    """The policy, and the prompts to answer: those it has not answered yet come first."""
    config = inputs.config_of(run)
    models = {row.role: str(row.artifact.path) for row in inputs.given(run)}
    answered = Completion.objects.filter(_same_model(run, config), prompt=OuterRef("pk"))
    prompts = (
        run.project.prompts.for_labels()
        .annotate(answered=Case(When(Exists(answered), then=Value(1)), default=Value(0)))
        .order_by("answered", "key")
    )
    return models | inputs.write_prompts(run, folder, prompts)


def publish(run: Run, output: Path) -> None:
    """Completions as rows, and tasks about each prompt's; a second time changes nothing."""
    config = inputs.config_of(run)
    outputs.publish(run, output)
    made = read_jsonl(output / "completions.jsonl", CompletionRecord)
    rows = list(_completions(run, config, made))
    Completion.objects.bulk_create(rows, batch_size=PUBLISH_BATCH, ignore_conflicts=True)
    stored = Completion.objects.filter(run=run).select_related("prompt").order_by("prompt", "pk")
    ask_about(run.project, config.task, stored, need=config.labels_per_task)


def _same_model(run: Run, config: GenerateConfig) -> Q:
    """Completions of a model with the same content, or of the same name on a server."""
    if config.engine == "server":
        return Q(sampling__server_model=config.server_model)
    policy = run.inputs.select_related("artifact").get(role="policy").artifact
    return Q(model__in=Artifact.objects.filter(manifest_sha256=policy.manifest_sha256))


def _completions(
    run: Run, config: GenerateConfig, made: Iterable[CompletionRecord]
) -> Iterator[Completion]:
    policy = run.inputs.filter(role="policy").values_list("artifact", flat=True).first()
    sampling = config.model_dump(include={"temperature", "max_new_tokens"})
    usual = DrawingSettings.model_fields
    drawn = config.model_dump(include=set(usual))
    sampling |= {name: value for name, value in drawn.items() if value != usual[name].default}
    if config.engine == "server":
        sampling["server_model"] = config.server_model
    prompts = dict(run.project.prompts.values_list("key", "pk"))
    for number, record in enumerate(made):
        if (prompt := prompts.get(record.prompt_key)) is None:
            continue  # deleted while the run worked
        yield Completion(
            prompt_id=prompt,
            text=record.text,
            source=Completion.Source.MODEL,
            model_id=policy,
            run=run,
            sampling=sampling,
            logps=record.logps,
            key=f"run-{run.pk}-{number}",
        )
