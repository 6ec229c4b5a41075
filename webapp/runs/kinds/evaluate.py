"""An evaluation, whose prompts may have come with what they should be answered."""

from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext as _

from alignment.seam.records import StoredRecord, write_jsonl
from webapp.projects.models import Split
from webapp.runs import inputs
from webapp.runs.errors import RunError
from webapp.runs.models import Run


def prepare(run: Run, folder: Path) -> inputs.Paths:
    """Models and held-out prompts, and the answers that came with these where they are asked for; raises RunError."""
    paths = inputs.prepare(run, folder)
    config = inputs.config_of(run)
    if config.known_answers == "given":
        if not write_jsonl(folder / "answers.jsonl", known(run, config.prompts)):
            raise RunError(
                _("No held-out prompt came with an answer; import some, or measure without them.")
            )
        paths["answers"] = str(Path(folder.name) / "answers.jsonl")
    return paths


def known(run: Run, prompts: int) -> Iterator[StoredRecord]:
    """The imported answers to the first prompts, but for those that a file put behind others."""
    # Loads Arrow, which tend and an idle worker never need.
    from webapp.datasets.queries import reference_answers  # noqa: PLC0415

    keys = run.project.prompts.of_split(Split.TEST).values_list("key", flat=True)
    asked = set(keys[:prompts])
    for one in reference_answers(run.project, Split.TEST).iterator():
        if one.prompt.key in asked:
            yield StoredRecord(prompt=one.prompt.record(), completion=one.text)
