"""Preferences as two transcripts, as in the data set HH-RLHF."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from alignment.rows.texts import TRANSCRIPT
from alignment.seam.records import Message
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.texts import check_without_tools
from webapp.datasets.snapshots import Entry

SPEAKERS = {"user": "Human", "assistant": "Assistant"}


def rows(entry: Entry) -> Iterator[Row]:
    """Preferences as two transcripts; raises ExportRefusal for what one cannot say."""
    for pair in entry.pairs:
        check_without_tools(pair.prompt)
        turns = pair.prompt.messages
        sides = {"chosen": pair.chosen, "rejected": pair.rejected}
        yield {name: transcript([*turns, _answer(text)]) for name, text in sides.items()}


def _answer(text: str) -> Message:
    return Message.model_construct(role="assistant", content=text)  # which may be empty


def transcript(turns: Sequence[Message]) -> str:
    """Who says what, in turn; raises ExportRefusal where it would be read as something else."""
    wanted = [("user", "assistant")[place % 2] for place in range(len(turns))]
    if [turn.role for turn in turns] != wanted:
        raise ExportRefusal(
            _(
                "Some prompts have a system message, or somebody speaks twice in a row, which transcripts of "
                "“Human:” and “Assistant:” cannot say. Export lists of messages instead."
            )
        )
    text = "".join(f"\n\n{SPEAKERS[turn.role]}: {turn.content}" for turn in turns)
    if TRANSCRIPT.split(text)[2::2] != [f" {turn.content}" for turn in turns]:
        raise ExportRefusal(
            _(
                "Some texts hold “Human:” or “Assistant:” at the beginning of a paragraph and would be read as "
                "turns. Export lists of messages instead."
            )
        )
    return text


FORMAT = ExportFormat(
    name="hh_rlhf",
    title=gettext_lazy("HH-RLHF transcripts"),
    reader=gettext_lazy("Others"),
    consumer=gettext_lazy("programs that read the data set HH-RLHF"),
    help=gettext_lazy("“Human:” and “Assistant:” in one text each; no system messages."),
    config="transcripts",
    schema=pa.schema([("chosen", pa.string()), ("rejected", pa.string())]),
    rows=rows,
    keeps=frozenset(["preferences", "pairings", "turns"]),
    refuses=frozenset(["tools"]),
    card=CardText(
        row="""\
Each row is a conversation between “Human:” and “Assistant:” that
ends with a better answer (`chosen`), and the same one with a worse answer (`rejected`); ties make no row.""",
        columns="""\
What was asked is what both begin
with, up to the last “Assistant:”.""",
        noun="pairs",
    ),
)
