"""Preferences as two transcripts, as in the data set HH-RLHF."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from alignment.rows.texts import TRANSCRIPT
from alignment.seam.records import Message, PromptRecord
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.columns import Columns, DistinctColumn
from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.pairs import PREFERENCES
from webapp.datasets.exports.texts import check_without_tools, prompt_columns
from webapp.datasets.snapshots import values_in

SPEAKERS = {"user": "Human", "assistant": "Assistant"}
NO_TURNS = gettext_noop(
    "Some texts hold “Human:” or “Assistant:” at the beginning of a paragraph and would be read as "
    "turns. Export lists of messages instead."
)


def _columns(pairs: pa.RecordBatch) -> Columns:
    """Preferences as two transcripts; raises ExportRefusal for what one cannot say."""
    asked = prompt_columns(pairs["messages"], _begun)["begun"]
    return {name: _ended(asked, pairs[name]) for name in ("chosen", "rejected")}


def _begun(prompt: PromptRecord) -> Row:
    """A prompt up to where its answer begins."""
    check_without_tools(prompt)
    nothing = Message.model_construct(role="assistant", content="")
    return {"begun": transcript([*prompt.messages, nothing])}


def _ended(begun: DistinctColumn, answers: pa.Array) -> DistinctColumn:
    """Transcripts with their answers, before which a space stands: no name of a speaker begins earlier."""
    if pc.any(pc.match_substring_regex(answers, TRANSCRIPT.pattern)).as_py():
        raise ExportRefusal(_(NO_TURNS))
    return begun.ended(values_in(answers))


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
        raise ExportRefusal(_(NO_TURNS))
    return text


FORMAT = ExportFormat(
    name="hh_rlhf",
    title=gettext_lazy("HH-RLHF transcripts"),
    reader=gettext_lazy("Others"),
    consumer=gettext_lazy("programs that read the data set HH-RLHF"),
    help=gettext_lazy("“Human:” and “Assistant:” in one text each; no system messages."),
    config="transcripts",
    schema=pa.schema([("chosen", pa.string()), ("rejected", pa.string())]),
    found=PREFERENCES.found_in,
    columns=_columns,
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
