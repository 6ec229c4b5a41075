"""What an export tells of the rows of a snapshot, without its files."""

import json

from webapp.datasets.exports.columns import ColumnGroup
from webapp.datasets.snapshots import record_batches


def rows_told(snapshot, form, split="train"):
    """Its rows for a split, those that come twice too."""
    batches = record_batches(snapshot.artifact.path, form.reads)
    found = [one for one in (form.found(batch, split) for batch in batches) if len(one)]
    groups = [ColumnGroup(form.columns(one), len(one)) for one in found]
    return [json.loads(line) for group in groups for line in group.lines()]
