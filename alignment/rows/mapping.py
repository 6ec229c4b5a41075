"""Columns by what somebody says they are: the row that a format knows, made of one that names them otherwise."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from alignment.rows.answers import LISTS, SINGLE, side_of
from alignment.rows.beside import ANNOTATORS
from alignment.rows.cells import whole_number
from alignment.rows.prompts import ASKING, SYSTEM
from alignment.seam.words import _

Roles = Mapping[str, str]  # by column
CODE = "code"  # the role of what a prompt keeps for code that reads it
ROLES = {  # in words
    "prompt": _("Prompt"),
    "context": _("Context: what the prompt is about, or the turns before it"),
    "system": _("System message"),
    "answer": _("Answer, or a list of them"),
    "chosen": _("Preferred answer"),
    "rejected": _("Other answer"),
    "winner": _("Which answer won"),
    "rank": _("Rank, 0 or 1 for the best"),
    "rating": _("Rating"),
    "label": _("Label: good or not"),
    "annotator": _("Annotator"),
    "split": _("Split"),
    "id": _("Name"),
    "tags": _("Tags"),
    CODE: _("For rewards from code"),
}
SEVERAL = ("answer", "rank", "rating", CODE)  # columns may be one of these
GUESSED = {
    **dict.fromkeys(ASKING, "prompt"),
    **dict.fromkeys(SYSTEM, "system"),
    **dict.fromkeys((*LISTS, *SINGLE), "answer"),
    **dict.fromkeys(ANNOTATORS, "annotator"),
    **dict.fromkeys(("chosen", "chosen_response"), "chosen"),
    **dict.fromkeys(("rejected", "rejected_response"), "rejected"),
    **dict.fromkeys(("rank", "ranks"), "rank"),
    **{name: name for name in ("context", "winner", "rating", "split", "id", "tags", "label")},
    "kto_tag": "label",
}
ANSWER = re.compile(r"\banswer_\d+\b")


def role_of(column: str) -> str:
    """What a column seems to be, by its name; nothing where that says nothing."""
    name = column.strip().lower()
    return "answer" if side_of(name) else GUESSED.get(name, "")


def guessed(columns: list[str]) -> dict[str, str]:
    """What each column seems to be; of several that seem to be one thing, the first is."""
    taken: set[str] = set()
    roles = {}
    for column in columns:
        role = role_of(column)
        roles[column] = "" if role in taken and role not in SEVERAL else role
        taken.add(role)
    return roles


def columns_for_code(row: Mapping[str, Any], roles: Roles) -> str:
    """The columns that a prompt is to keep, as the JSON text of an object; empty where there are none."""
    kept = {name: row[name] for name, role in roles.items() if role == CODE and name in row}
    return json.dumps(kept) if kept else ""


def twice(roles: Roles) -> str:
    """A role that only one column may have, and several were given; nothing otherwise."""
    times = Counter(role for role in roles.values() if role)
    return next((role for role in times if times[role] > 1 and role not in SEVERAL), "")


def mapped(row: Any, roles: Roles) -> Any:  # noqa: ANN401 - whatever a file holds
    """The row in the columns that formats know, of those that were given a role; any other row as it is."""
    if not isinstance(row, dict):
        return row
    made: dict[str, Any] = {
        name: row[columns[0]] if len(columns) == 1 else [row[one] for one in columns]
        for name, columns in _columns_by_name(row, roles).items()
    }
    if isinstance(made.get("winner"), str):
        names = known_as(row, roles)
        made["winner"] = {ours: name for name, ours in names.items()}.get(
            made["winner"], made["winner"]
        )
    if (label := whole_number(made.get("label"))) in (0, 1):
        made["label"] = bool(label)
    return made | _asked(made)


def _columns_by_name(row: Mapping[str, Any], roles: Roles) -> dict[str, list[str]]:
    """The columns that say something in a row, by the names that formats know them by: several become one list."""
    by_role: dict[str, list[str]] = {}
    for column, role in roles.items():
        if role and row.get(column) is not None:
            by_role.setdefault(role, []).append(column)
    made = {role: columns[:1] for role, columns in by_role.items() if role not in SEVERAL}
    for role in (one for one in SEVERAL if one != CODE and len(by_role.get(one, [])) == 1):
        (column,) = by_role[role]
        made[f"{role}s" if isinstance(row[column], list) else role] = [column]
    return made | _several(*(by_role.get(role, []) for role in ("answer", "rank", "rating")))


def _several(answers: list[str], ranks: list[str], ratings: list[str]) -> dict[str, list[str]]:
    """A list of answers with their ranks, or a column for each, where several columns hold some."""
    made: dict[str, list[str]] = {}
    if len(answers) > 1 and len(ranks) == len(answers):
        made |= {"answers": answers, "ranks": ranks}
    elif len(answers) > 1:
        made |= {f"answer_{number}": [one] for number, one in enumerate(answers, start=1)}
    if "answers" in made and len(ratings) == len(answers):
        made["ratings"] = ratings
    elif len(answers) > 1 and len(ratings) == len(answers):
        made |= {f"answer_{number}_rating": [one] for number, one in enumerate(ratings, start=1)}
    return made


def unused_columns(row: Mapping[str, Any], roles: Roles, unused: Counter[str]) -> Counter[str]:
    """The columns of a file of which nothing was made, from those of its mapped row: a role alone uses none."""
    made = _columns_by_name(row, roles)
    used = {one for columns in made.values() for one in columns}
    used |= {column for column, role in roles.items() if role == CODE}
    there = (column for column, value in row.items() if value is not None)
    counted = Counter(str(column) for column in there if column not in used)
    for name, number in unused.items():
        side, _part, fact = name.partition("[].")
        known = next((one for one in (name, f"{side}_{fact}", fact) if one in made), "")
        counted.update(dict.fromkeys(made.get(known, [name]), number))
    return counted


def _asked(made: Mapping[str, Any]) -> dict[str, Any]:
    """The prompt with what it is about, or after the turns before it."""
    prompt, context = made.get("prompt"), made.get("context")
    if isinstance(context, list) and isinstance(prompt, str):
        return {"prompt": [*context, {"role": "user", "content": prompt}], "context": None}
    if isinstance(context, list) and prompt is None:
        return {"prompt": context, "context": None}
    if isinstance(context, str) and prompt is not None:
        return {"instruction": prompt, "prompt": None}
    return {}


def known_as(row: object, roles: Roles) -> dict[str, str]:
    """The columns of a row by the names that formats know them by: an answer that it lacks has none."""
    there = {name for name in row if row[name] is not None} if isinstance(row, dict) else {*roles}
    answers = [column for column, role in roles.items() if role == "answer" and column in there]
    several = {f"answer_{number}": one for number, one in enumerate(answers, start=1)}
    return several | {
        role: column for column, role in roles.items() if role and role not in SEVERAL
    }


def in_its_words(reason: str, row: object, roles: Roles) -> str:
    """Why a row is bad, with the columns as the file calls them."""
    names = known_as(row, roles)
    named = ANSWER.sub(lambda found: names.get(found.group(), found.group()), reason)
    return re.sub(r"“(\w+)”", lambda found: f"“{names.get(found.group(1), found.group(1))}”", named)
