"""Preferences as OpenAI's fine-tuning takes them: a conversation, and two outputs.

Consumer: its preference fine-tuning. Recognised by `input`, `preferred_output` and `non_preferred_output`.
Loses: how tools may be called; it names it.
"""

from typing import Any

from alignment.rows import preferences, prompts
from alignment.rows.descriptor import Format, with_columns
from alignment.rows.found import BadRow, Found
from alignment.seam.words import _

OUTPUTS = {"preferred_output": "chosen", "non_preferred_output": "rejected"}


def fits(row: object) -> bool:
    """Whether it holds an input of messages and two outputs."""
    there = row if isinstance(row, dict) else {}
    asked = there.get("input")
    return (
        isinstance(asked, dict)
        and isinstance(asked.get("messages"), list)
        and all(isinstance(there.get(name), list) for name in OUTPUTS)
    )


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt with two answers and which was preferred; the columns that were used."""
    if not fits(row):
        raise BadRow(
            _("no “input” with messages and two outputs in it; its columns: {named}").format(
                named=prompts.named(row)
            )
        )
    asked = row["input"]
    sides = {ours: row[name] for name, ours in OUTPUTS.items()}
    preferences.read({"prompt": asked["messages"], "tools": asked.get("tools"), **sides}, found)
    rest = {name for name in asked.keys() - {"messages", "tools"} if asked[name] not in (None, [])}
    found.unused.update(f"input.{name}" for name in rest)
    return {"input", *OUTPUTS}


FORMAT = Format(
    title=_("OpenAI preferences"),
    help=_(
        "input with messages, preferred_output and non_preferred_output, as its fine-tuning takes them."
    ),
    loses=_("how tools may be called."),
    fits=fits,
    read=read,
    may=with_columns({"input", *OUTPUTS}),
)
