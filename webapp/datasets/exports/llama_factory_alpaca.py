"""Preferences for LLaMA-Factory in the columns of Alpaca."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.llama_factory import (
    COLUMNS,
    CONSUMER,
    KEEPS,
    READER,
    described,
    system_and_talk,
)
from webapp.datasets.exports.texts import check_without_tools
from webapp.datasets.exports.writers import JSON_LINES
from webapp.datasets.snapshots import Entry

CONFIG = "alpaca_preference"
ABOUT = {
    "ranking": True,
    "columns": {
        "prompt": "instruction",
        "query": "input",
        "chosen": "chosen",
        "rejected": "rejected",
        "system": "system",
        "history": "history",
    },
}


def rows(entry: Entry) -> Iterator[Row]:
    """Preferences; raises ExportRefusal for a prompt that has no such columns."""
    for pair in entry.pairs:
        check_without_tools(pair.prompt)
        system, talk = system_and_talk(pair.prompt.messages)
        said = [turn.content for turn in talk[:-1]]
        yield {
            "instruction": talk[-1].content,
            "input": "",
            "chosen": pair.chosen,
            "rejected": pair.rejected,
            "system": system,
            "history": [list(both) for both in zip(said[::2], said[1::2], strict=True)],
        }


FORMAT = ExportFormat(
    name="llama_factory_alpaca",
    title=_("LLaMA-Factory preference, Alpaca"),
    reader=READER,
    consumer=CONSUMER,
    help=_("instruction, chosen and rejected, with the description of the files that it asks for."),
    config=CONFIG,
    rows=rows,
    writers=(JSON_LINES,),
    beside=described(CONFIG, ABOUT),
    keeps=KEEPS,
    refuses=frozenset(["tools"]),
    card=CardText(
        row="""\
Each row is a prompt (`instruction`, with earlier turns in `history`)
with a better answer (`chosen`) and a worse one (`rejected`); ties make no row.""",
        columns=COLUMNS,
        noun="pairs",
    ),
)
