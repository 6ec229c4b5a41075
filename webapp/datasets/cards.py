"""Dataset cards: what is in an export, where it came from, and how it is opened."""

from collections.abc import Mapping

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.models import Snapshot

CARD = """\
---
license: unknown
tags:
- {config}
- human-feedback
configs:
- config_name: {config}
  default: true
  data_files:
{files}
---
# {project}: snapshot {number}

Preferences frozen on {day} (UTC). {row}

    from datasets import load_dataset
    load_dataset("FOLDER", "{config}")

| split | {noun} |
| --- | ---: |
{counts}

Splits follow the prompts: no prompt is in two of them. {columns} The JSON lines and the Parquet files hold the same rows; `MANIFEST.json` has the SHA-256 of
every file.

## Where it came from

- labels: {labels}, {simulated} of them by simulated annotators; rankings imported: {ranks} pairs
- annotators: {annotators}
- guidelines (SHA-256): {guidelines}
- snapshot (SHA-256 of its manifest): {snapshot}

## Licence

Not chosen yet. Write here, and in the first lines of this file, under which terms the prompts and
answers may be used.
"""


def card(snapshot: Snapshot, form: ExportFormat, counts: Mapping[str, int]) -> str:
    """The README.md of an export of a snapshot."""
    manifest = snapshot.manifest
    files = [f"  - split: {name}\n    path: {form.config}/{name}.parquet" for name in counts]
    return CARD.format(
        **form.card._asdict(),
        config=form.config,
        files="\n".join(files),
        project=" ".join(snapshot.project.name.split()),
        number=snapshot.number,
        day=f"{snapshot.created_at:%Y-%m-%d}",
        counts="\n".join(f"| {name} | {number} |" for name, number in counts.items()),
        labels=snapshot.labels,
        simulated=manifest["simulated"].get("True", 0),
        ranks=manifest["sources"].get("rank", 0),
        annotators=_annotators(manifest["annotators"]),
        guidelines=manifest.get("guidelines_sha256", "not recorded"),
        snapshot=snapshot.artifact.manifest_sha256,
    )


def _annotators(labels: Mapping[str, int]) -> str:
    named = ", ".join(f"{name} ({number} labels)" for name, number in sorted(labels.items()))
    return named or "none; all rows come from imported rankings"
