"""Prompts, one a row: text, or a conversation that ends with the user's turn.

Consumers: anything that writes prompts. Recognised by a column of ASKING, or by rows that are text or
lists of messages. Loses: every other column.
"""

import json
from typing import Any

from alignment.rows.descriptor import Format
from alignment.rows.found import BadRow, Columns, Found, ImportedPrompt, Turns
from alignment.rows.texts import Role, asked, conversation_of, message_by, plain, text_of
from alignment.rows.tools import tools_text
from alignment.seam.words import _

TALKS = ("messages", "conversations")
ASKING = ("prompt", *TALKS, "instruction", "question", "query", "input")
BESIDE = ("input", "context")  # what an instruction is about
SYSTEM = ("system", "system_prompt")
SPEAKERS: tuple[Role, Role] = ("user", "assistant")
JOINED = "instructions with an “input” or a “context”, joined by a blank line"


def fits(row: object) -> bool:
    """Whether it holds a prompt."""
    return isinstance(row, str | list) or bool(asking(row))


def asking(row: object) -> str:
    """The column that holds the prompt; nothing where there is none."""
    there = row if isinstance(row, dict) else {}
    for name in ASKING:
        if there.get(name) is not None:
            return name
    return ""


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add its prompt, and the answer where a conversation ends with one; the columns that were used."""
    if isinstance(row, dict):
        turns, used = turns_of(row, found)
    else:
        turns, used = conversation_of(row, "a message", found), set()
    found.prompts.append(ImportedPrompt(asked(turns)))
    return used


def turns_of(row: Columns, found: Found) -> tuple[Turns, set[str]]:
    """The conversation of a row, and the columns that hold it."""
    name = asking(row)
    if not name:
        raise BadRow(
            _("no “prompt” or “messages” in it; its columns: {named}").format(named=named(row))
        )
    turns = conversation_of(row[name], "a message", found)
    used = {name}
    if name == "instruction" and turns:
        turns = (*_history(row, used, found), *_with_more(row, turns, used, found))
    return with_beginning(row, turns, used), used


def _with_more(row: Columns, turns: Turns, used: set[str], found: Found) -> Turns:
    """An instruction with the text that it is about."""
    for name in BESIDE:
        if isinstance(row.get(name), str):
            used.add(name)
            if row[name].strip():
                found.notes[JOINED] += 1
                more = plain(row[name], f"“{name}”", found)
                turns = (*turns[:-1], message_by("user", f"{turns[-1].content}\n\n{more}"))
    return turns


def _history(row: Columns, used: set[str], found: Found) -> Turns:
    """What was said before an instruction: pairs of what was asked and answered."""
    pairs = row.get("history")
    if not isinstance(pairs, list) or not pairs:
        return ()
    used.add("history")
    if not all(isinstance(pair, list) and len(pair) == len(SPEAKERS) for pair in pairs):
        raise BadRow(_("“history” is no list of pairs of texts"))
    return tuple(
        message_by(role, plain(text, "“history”", found))
        for pair in pairs
        for role, text in zip(SPEAKERS, pair, strict=True)
    )


def with_beginning(row: Columns, turns: Turns, used: set[str]) -> Turns:
    """The turns with what columns beside them say before the first: the system's words, and tools."""
    return with_tools(row, _with_system(row, turns, used), used)


def with_tools(row: Columns, turns: Turns, used: set[str]) -> Turns:
    """The turns with the tools that a column describes, where the first turn has none itself."""
    if not turns or turns[0].tools or "tools" not in row:
        return turns
    used.add("tools")
    described = tools_text(row["tools"])
    first = turns[0].model_copy(update={"tools": described})
    return (first, *turns[1:]) if described else turns


def _with_system(row: Columns, turns: Turns, used: set[str]) -> Turns:
    """The turns after what a column of the system's says, where they have no such turn themselves."""
    if row.keys().isdisjoint(SYSTEM):
        return turns
    name = next((name for name in SYSTEM if isinstance(row.get(name), str)), None)
    if name is None or any(turn.role == "system" for turn in turns):
        return turns
    used.add(name)
    words = row[name]
    return (message_by("system", text_of(words, f"“{name}”")), *turns) if words.strip() else turns


def columns_of(row: object) -> str:
    """The columns of a row that are not its conversation, as the JSON text of an object; empty where it has none."""
    there = row if isinstance(row, dict) else {}
    without = {asking(row), "tools", "history", *SYSTEM}
    kept = {str(name): value for name, value in there.items() if name not in without}
    return json.dumps(kept) if kept else ""


def named(row: object) -> str:
    """The first columns of a row, for a sentence."""
    names = [str(name)[:40] for name in row][:8] if isinstance(row, dict) else []
    return ", ".join(names) or "none"


FORMAT = Format(
    title=_("Prompts"),
    help=_('one a row: text, {"prompt": …}, {"messages": […]}, instruction or question.'),
    loses=_("every other column."),
    fits=fits,
    read=read,
    flat=True,
)
