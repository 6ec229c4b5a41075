"""A toy format of export: each answer by itself, with whether it was the better one; ties are kept as neither."""

import pyarrow as pa

from webapp.datasets.exports.descriptor import CardText, ExportFormat


def rows(entry):
    """Two rows of each comparison."""
    for label in entry.records:
        paired = label.kind == "pair"
        sides = (label.chosen, label.rejected) if paired else (label.left, label.right)
        for text, good in zip(sides, (True, False) if paired else (None, None), strict=True):
            yield {"prompt": label.prompt.text, "completion": text, "label": good}


FORMAT = ExportFormat(
    name="unpaired",
    title="Answers one by one",
    reader="Toys",
    consumer="those who learn from single answers",
    help="whatever was said of each.",
    config="unpaired",
    schema=pa.schema([("prompt", pa.string()), ("completion", pa.string()), ("label", pa.bool_())]),
    rows=rows,
    keeps=frozenset(["ties"]),
    card=CardText(
        "Each row is a prompt with an answer (`completion`).",
        "`label` is empty for ties.",
        "answers",
    ),
)
