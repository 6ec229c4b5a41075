"""Dataset cards: what is in an export and what is not, where it came from, and how it is opened."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from django.utils.translation import override

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.losses import losses_of
from webapp.datasets.models import Snapshot
from webapp.datasets.warnings import health_in_words

CARD = """\
---
license: unknown
tags:
- {config}
- human-feedback
configs:
- config_name: {config}
  default: true{options}
  data_files:
{files}
---
# {project}: snapshot {number}

Labels frozen on {day} (UTC). {row}

    from datasets import load_dataset
    load_dataset("FOLDER", "{config}")

| split | {noun} |
| --- | ---: |
{counts}

Splits follow the prompts: no prompt is in two of them. {columns} {same}`MANIFEST.json` has the SHA-256 of
every file.

## What the snapshot holds and these files do not

{losses}

## What was found in the labels when they were frozen

{health}

## Where it came from

- labels: {labels}, {simulated} of them by simulated annotators; rankings imported: {ranks} pairs
- annotators: {annotators}
- guidelines (SHA-256): {guidelines}
- snapshot (SHA-256 of its manifest): {snapshot}

## Licence

Not chosen yet. Write here, and in the first lines of this file, under which terms the prompts and
answers may be used.
"""
UNSEEN = """\
Nothing was looked at:
an earlier version froze them."""
ALL = """\
Nothing:
all of it is here."""


def card(snapshot: Snapshot, form: ExportFormat, counts: Mapping[str, int]) -> str:
    """The README.md of an export of a snapshot."""
    manifest = snapshot.manifest
    opened = form.writers[-1]
    files = [f"  - split: {name}\n    path: {form.config}/{name}{opened.suffix}" for name in counts]
    several = len(form.writers) > 1
    return CARD.format(
        **form.card._asdict(),
        config=form.config,
        options="".join(f"\n  {line}" for line in _lines(opened.options(form.schema))),
        same="All files of one split hold the same rows; " if several else "",
        losses="\n".join(_losses(snapshot, form)),
        health="\n".join(_health(manifest)),
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


def _lines(options: Mapping[str, object]) -> list[str]:
    return yaml.safe_dump(dict(options)).splitlines() if options else []


def _losses(snapshot: Snapshot, form: ExportFormat) -> Iterator[str]:
    """What is left out, in English in every language."""
    losses = losses_of(snapshot, form)
    with override(None):
        for loss in losses:
            yield f"- {loss.words}: {loss.n}"
    if not losses:
        yield ALL


def _health(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The health report, in English in every language."""
    with override(None):
        for name, value in health_in_words(manifest["health"]) if "health" in manifest else ():
            yield f"- {name}: {value}"
    if "health" not in manifest:
        yield UNSEEN


def _annotators(labels: Mapping[str, int]) -> str:
    named = ", ".join(f"{name} ({number} labels)" for name, number in sorted(labels.items()))
    return named or "none; all rows come from imported rankings"
