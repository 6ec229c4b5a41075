"""What a run reads, found and written into its folder by what its kind says of its inputs."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _
from pydantic import BaseModel, ValidationError

from alignment.kinds import KINDS
from alignment.kinds.kind import Input, Prompts, Rows
from alignment.seam.records import CompletionRecord, StoredRecord, read_jsonl, write_jsonl
from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.projects.models import PromptQuerySet, Split
from webapp.runs.errors import RunError
from webapp.runs.models import Run

# What the trainer calls rows of a snapshot that are no pairs or labels.
NAMED = {Rows.JUDGED: "judged", Rows.IMITATED: "demonstrations", Rows.THUMBS: "thumbs"}
FEWEST_LOOKED_AT = 2  # prompts: one has no interval
OWN_FILES = ("evaluation", "preferences")  # roles of rows that stand beside others of their kind
Paths = dict[str, str]  # for RunSpec, by the trainer's names
Reader = Callable[[Artifact, Split], Iterable[BaseModel]]  # of a snapshot's labels


def config_of(run: Run) -> Any:  # noqa: ANN401 - of the run's kind
    """A run's settings; raises RunError where they are not those of this version."""
    try:
        return KINDS[run.kind].settings.stored(run.config)
    except ValidationError as error:
        names = ", ".join(".".join(map(str, row["loc"])) or "together" for row in error.errors())
        raise RunError(
            _(
                "This run was set up by another version of Attune, whose settings differ ({names}); "
                "start a new one from the form."
            ).format(names=names)
        ) from error


def prepare(run: Run, folder: Path) -> Paths:
    """Fill a folder with what a run reads, by its kind's inputs; raises RunError."""
    kind = KINDS[run.kind]
    paths = write_prompts(run, folder) if kind.prompts else {}
    if kind.held_out:
        paths |= write_held_out(run, folder, kind.held_out)
    for row in given(run):
        paths |= _place(run, folder, kind.input(row.role), row.artifact)
    return paths


def _place(run: Run, folder: Path, given: Input | None, artifact: Artifact) -> Paths:
    """One input as the trainer reads it: its folder, or a file of its rows."""
    config = config_of(run)
    if given is None or (rows := given.rows_for(config)) is None:
        return {given.role if given else "input": str(artifact.path)}
    if rows == Rows.STORED:
        return {given.role: write_stored(folder, _prompts_of(run), artifact)}
    split = Split(getattr(config, "labels", Split.TRAIN))
    name = NAMED.get(rows, "pairs")
    if given.role == "evaluation":
        split = Split.VALIDATION if split == Split.TRAIN else Split.TRAIN
    if given.role in OWN_FILES:
        name = given.role
    return {name: write_labels(folder / f"{name}.jsonl", label_reader(rows), artifact, split)}


def label_reader(rows: Rows) -> Reader:
    """How such rows of a snapshot are read."""
    # Loads Arrow, which tend and an idle worker never need.
    from webapp.datasets.snapshots import (  # noqa: PLC0415
        imitated_of,
        judged_of,
        labels_of,
        pairs_of,
        thumbs_of,
    )

    return {
        Rows.PAIRS: pairs_of,
        Rows.THUMBS: thumbs_of,
        Rows.LABELS: labels_of,
        Rows.JUDGED: judged_of,
        Rows.IMITATED: imitated_of,
    }[rows]


def given(run: Run) -> list[ArtifactInput]:
    """The artifacts that a run reads; outputs of the runs that it needs become its inputs. Raises RunError."""
    kind = KINDS[run.kind]
    for need in run.needs.select_related("needs").filter(
        role__in=[one.role for one in kind.artifacts]
    ):
        made = need.needs.outputs.filter(type__in=kind.input_named(need.role).types).first()
        if made is None:
            raise RunError(
                _("“{name}” has not made what this run needs as {role}.").format(
                    name=need.needs.name, role=need.role
                )
            )
        ArtifactInput.objects.get_or_create(run=run, role=need.role, defaults={"artifact": made})
    return list(run.inputs.select_related("artifact"))


def _prompts_of(run: Run) -> PromptQuerySet:
    """The prompts of the split that a run's kind reads; all of them where it names none."""
    asked = KINDS[run.kind].prompts
    prompts = run.project.prompts
    return prompts.of_split(Split(asked.split)) if asked else prompts.accepted().order_by("key")


def write_prompts(run: Run, folder: Path, prompts: PromptQuerySet | None = None) -> Paths:
    """Write the first prompts as JSON lines: as many as the settings say. Raises RunError when too few."""
    rows = _prompts_of(run) if prompts is None else prompts
    asked = KINDS[run.kind].prompts
    least = asked.least if asked else 0
    return {"prompts": _written(folder / "prompts.jsonl", rows[: config_of(run).prompts], least)}


def write_held_out(run: Run, folder: Path, asked: Prompts) -> Paths:
    """Write the prompts that only measure, as many as the settings say. Raises RunError when too few."""
    rows = run.project.prompts.of_split(Split(asked.split))[: config_of(run).held_out_prompts]
    return {"held_out": _written(folder / "held_out.jsonl", rows, asked.least)}


def write_evaluation(run: Run, folder: Path, split: Split, count: int) -> Paths:
    """Write the first prompts of a split that a training looks at. Raises RunError where there are fewer than two."""
    rows = run.project.prompts.of_split(split)[:count]
    return {"evaluation": _written(folder / "evaluation.jsonl", rows, FEWEST_LOOKED_AT)}


def _written(path: Path, prompts: PromptQuerySet, least: int) -> str:
    """Prompts as JSON lines; the path for RunSpec."""
    records = (prompt.record() for prompt in prompts.iterator())
    if (written := write_jsonl(path, records)) < least:
        raise RunError(
            _("This run needs at least {least} prompts and found {written}; add prompts.").format(
                least=least, written=written
            )
        )
    return str(Path(path.parent.name) / path.name)


def write_labels(path: Path, read: Reader, snapshot: Artifact, split: Split) -> str:
    """Write a snapshot's labels of one split as JSON lines; the path for RunSpec."""
    if not write_jsonl(path, read(snapshot, split)):
        raise RunError(
            _(
                "The snapshot has no usable labels in its {split} split; collect more labels."
            ).format(split=split)
        )
    return str(Path(path.parent.name) / path.name)


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
            _(
                "“{completions}” holds no answer to a training prompt; choose others, or generate "
                "some."
            ).format(completions=completions)
        )
    return str(Path(folder.name) / "stored.jsonl")
