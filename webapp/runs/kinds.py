"""What each kind of run reads and makes: one row per kind."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Q, Value, When
from pydantic import BaseModel, ValidationError

from alignment.config import (
    AlignConfig,
    EvaluateConfig,
    GenerateConfig,
    ImportConfig,
    PopulationConfig,
    PreferConfig,
    PretrainConfig,
    RewardConfig,
    SftConfig,
)
from alignment.config.fields import Settings
from alignment.records import CompletionRecord, StoredRecord, read_jsonl, write_jsonl
from webapp.datasets.snapshots import labels_of, pairs_of
from webapp.labeling.models import Completion
from webapp.labeling.services import ask_about
from webapp.projects.models import PromptQuerySet, Split
from webapp.registry import sources
from webapp.registry.models import Artifact, ArtifactInput
from webapp.registry.services import store
from webapp.runs.described import agent_title
from webapp.runs.errors import RunError
from webapp.runs.models import Run

MODEL, ENCODER, REWARD, SNAPSHOT, SCORES = (
    Artifact.Type.MODEL,
    Artifact.Type.ENCODER,
    Artifact.Type.REWARD,
    Artifact.Type.SNAPSHOT,
    Artifact.Type.SCORES,
)
ROLE_TYPES = {
    "policy": (MODEL,),
    "reference": (MODEL,),
    "backbone": (MODEL, ENCODER),
    "base": (MODEL,),
    "reward": (REWARD,),
    "judge": (REWARD,),
    "labels": (SNAPSHOT,),
    "completions": (Artifact.Type.COMPLETIONS,),
}
LABELS = "labels"  # becomes the file of pairs, not a folder of the trainer's
STORED = "completions"  # becomes a file of texts
PUBLISH_BATCH = 500
Reader = Callable[[Artifact, Split], Iterable[BaseModel]]  # of a snapshot's labels


class RunKind(NamedTuple):
    """A kind's settings, the roles it reads, how its inputs are written and its output published."""

    config: type[Settings]
    roles: Callable[[BaseModel], tuple[str, ...]]
    prepare: Callable[[Run, Path], dict[str, str]]  # fills a folder; paths by role for RunSpec
    publish: Callable[[Run, Path], None]  # in the transaction that says it succeeded
    saves: bool  # whether asking it to save keeps its work
    spared: tuple[str, ...] = ()  # roles that some of its inputs make needless


def config_of(run: Run) -> Any:  # noqa: ANN401 - of the run's kind
    """A run's settings; raises RunError where they are not those of this version."""
    try:
        return RUN_KINDS[run.kind].config.stored(run.config)
    except ValidationError as error:
        names = ", ".join(".".join(map(str, row["loc"])) or "together" for row in error.errors())
        raise RunError(
            f"This run was set up by another version of Attune, whose settings differ ({names}); "
            "start a new one from the form."
        ) from error


def prepare_generate(run: Run, folder: Path) -> dict[str, str]:
    """The policy, and the prompts to answer: those it has not answered yet come first."""
    config = config_of(run)
    models = resolved(run)
    answered = Completion.objects.filter(_same_model(run, config), prompt=OuterRef("pk"))
    prompts = (
        run.project.prompts.for_labels()
        .annotate(answered=Case(When(Exists(answered), then=Value(1)), default=Value(0)))
        .order_by("answered", "key")
    )
    return models | {"prompts": write_prompts(folder, prompts, config.prompts, least=1)}


def prepare_labels(read: Reader) -> Callable[[Run, Path], dict[str, str]]:
    """The prepare of a kind that reads labels of the split that its settings name, and models."""

    def prepare(run: Run, folder: Path) -> dict[str, str]:
        config = config_of(run)
        models = resolved(run)
        labels = run.inputs.select_related("artifact").get(role=LABELS)
        return models | write_labels(folder, read, labels, config.labels)

    return prepare


def write_labels(folder: Path, read: Reader, labels: ArtifactInput, split: Split) -> dict[str, str]:
    """Write a snapshot's labels of one split as JSON lines; the path for RunSpec."""
    if not write_jsonl(folder / "pairs.jsonl", read(labels.artifact, split)):
        raise RunError(
            f"The snapshot has no usable labels in its {split} split; collect more labels."
        )
    return {"pairs": str(Path(folder.name) / "pairs.jsonl")}


def roles_of_align(config: Any) -> tuple[str, ...]:  # noqa: ANN401 - an AlignConfig
    """The models, and what else the settings learn from."""
    labels = (LABELS,) if config.demonstration_weight else ()
    stored = (STORED,) if config.stored_share else ()
    return (*roles_of_target(config), *labels, *stored)


def roles_of_target(config: Any) -> tuple[str, ...]:  # noqa: ANN401 - an AlignConfig, or a population's
    """The models; a reward model where it has a weight."""
    return ("policy", "reference", *(("reward",) if config.reward_weight else ()))


def prepare_align(run: Run, folder: Path) -> dict[str, str]:
    """The models, the prompts of the train split, and what of it is imitated or stored."""
    config = config_of(run)
    prompts = run.project.prompts.of_split(Split.TRAIN)
    read = resolved(run) | {"prompts": write_prompts(folder, prompts, config.prompts, least=1)}
    inputs = {row.role: row for row in run.inputs.select_related("artifact")}
    if LABELS in inputs:
        read |= write_labels(folder, pairs_of, inputs[LABELS], Split.TRAIN)
    if STORED in inputs:
        read |= {STORED: write_stored(folder, prompts, inputs[STORED].artifact)}
    return read


def write_stored(folder: Path, prompts: PromptQuerySet, completions: Artifact) -> str:
    """Write the completions of these prompts as JSON lines; the path for RunSpec."""
    asked = {prompt.key: prompt.record() for prompt in prompts.iterator()}
    rows = (
        StoredRecord(prompt=asked[made.prompt_key], completion=made.text, truncated=made.truncated)
        for made in read_jsonl(completions.path / "completions.jsonl", CompletionRecord)
        if made.prompt_key in asked
    )
    if not write_jsonl(folder / "stored.jsonl", rows):
        raise RunError(
            f"“{completions}” holds no answer to a training prompt; choose others, or generate some."
        )
    return str(Path(folder.name) / "stored.jsonl")


def prepare_evaluate(run: Run, folder: Path) -> dict[str, str]:
    """The models and the judge, and prompts of the test split, which nothing is trained on."""
    config = config_of(run)
    prompts = run.project.prompts.of_split(Split.TEST)
    return resolved(run) | {"prompts": write_prompts(folder, prompts, config.prompts, least=8)}


def prepare_import(run: Run, folder: Path) -> dict[str, str]:
    """Where the model comes from, and the base of an adapter."""
    config = config_of(run)
    return resolved(run) | sources.trainer_inputs(config, first_key(run))


def first_key(run: Run) -> str:
    """The key of the run that this one repeats, however often that was: its upload lies there."""
    while run.parent is not None:
        run = run.parent
    return run.idempotency_key


def prepare_nothing(run: Run, folder: Path) -> dict[str, str]:
    """A run that reads nothing of the project's."""
    return {}


def publish_artifact(type: str) -> Callable[[Run, Path], None]:
    """The publish of a kind whose output folder is an artifact."""

    def publish(run: Run, output: Path) -> None:
        store(
            output,
            project=run.project,
            type=type,
            name=run.name,
            producer=run,
            summary=run.summary,
        )

    return publish


def publish_import(run: Run, output: Path) -> None:
    """The model or encoder; its upload is not needed any more."""
    publish_artifact(ENCODER if run.summary.get("encoder") else MODEL)(run, output)
    transaction.on_commit(partial(sources.forget_upload, first_key(run)))


def publish_population(run: Run, output: Path) -> None:
    """One model version per agent; each is a folder with a manifest of its own."""
    for agent in run.config["divergences"]:  # PostgreSQL keeps no order of an object's names
        store(
            output / agent,
            project=run.project,
            type=MODEL,
            name=f"{run.name}: {agent_title(agent)}",
            producer=run,
            summary=run.summary["agents"][agent],
        )


def publish_completions(run: Run, output: Path) -> None:
    """Completions as rows, and tasks that compare each prompt's; a second time changes nothing."""
    config = config_of(run)
    publish_artifact(Artifact.Type.COMPLETIONS)(run, output)
    made = read_jsonl(output / "completions.jsonl", CompletionRecord)
    rows = list(_completions(run, config, made))
    Completion.objects.bulk_create(rows, batch_size=PUBLISH_BATCH, ignore_conflicts=True)
    stored = Completion.objects.filter(run=run).select_related("prompt").order_by("prompt", "pk")
    ask_about(run.project, "compare", stored, need=config.labels_per_task)


def write_prompts(folder: Path, prompts: PromptQuerySet, count: int, *, least: int) -> str:
    """Write the first prompts as JSON lines; the path for RunSpec. Raises RunError when too few."""
    records = (prompt.record() for prompt in prompts[:count].iterator())
    written = write_jsonl(folder / "prompts.jsonl", records)
    if written < least:
        raise RunError(f"This run needs at least {least} prompts and found {written}; add prompts.")
    return str(Path(folder.name) / "prompts.jsonl")


def resolved(run: Run) -> dict[str, str]:
    """Folders of the models a run reads, by role; outputs of needed runs become its inputs."""
    for need in run.needs.select_related("needs").filter(role__in=ROLE_TYPES):
        made = need.needs.outputs.filter(type__in=ROLE_TYPES[need.role]).first()
        if made is None:
            raise RunError(f"“{need.needs.name}” has not made what this run needs as {need.role}.")
        ArtifactInput.objects.get_or_create(run=run, role=need.role, defaults={"artifact": made})
    inputs = run.inputs.select_related("artifact").exclude(role=LABELS)
    return {row.role: str(row.artifact.path) for row in inputs}


RUN_KINDS: dict[str, RunKind] = {
    "pretrain": RunKind(
        PretrainConfig, lambda _: (), prepare_nothing, publish_artifact(MODEL), saves=False
    ),
    "import": RunKind(ImportConfig, lambda _: (), prepare_import, publish_import, saves=False),
    "sft": RunKind(
        SftConfig,
        lambda _: ("policy", LABELS),
        prepare_labels(pairs_of),
        publish_artifact(MODEL),
        saves=True,
    ),
    "prefer": RunKind(
        PreferConfig,
        lambda _: ("policy", "reference", LABELS),
        prepare_labels(pairs_of),
        publish_artifact(MODEL),
        saves=True,
    ),
    "generate": RunKind(
        GenerateConfig,
        lambda config: () if config.engine == "server" else ("policy",),
        prepare_generate,
        publish_completions,
        saves=False,
    ),
    "reward": RunKind(
        RewardConfig,
        lambda config: (
            ("backbone", LABELS, "reference")
            if config.centring == "reference"
            else ("backbone", LABELS)
        ),
        prepare_labels(labels_of),
        publish_artifact(REWARD),
        saves=False,
    ),
    "align": RunKind(
        AlignConfig,
        roles_of_align,
        prepare_align,
        publish_artifact(MODEL),
        saves=True,
    ),
    "population": RunKind(
        PopulationConfig,
        roles_of_target,
        prepare_align,
        publish_population,
        saves=True,
    ),
    "evaluate": RunKind(
        EvaluateConfig,
        lambda config: (
            ("policy", "reference", "reward", "judge")
            if config.judge == "held_out_labels"
            else ("policy", "reference", "reward")
        ),
        prepare_evaluate,
        publish_artifact(SCORES),
        saves=False,
        spared=("reward",),
    ),
}


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
