"""HelpSteer: answers with marks for five attributes, and pairs with a preference from -3 to 3.

Consumers: HelpSteer and HelpSteer2 (`helpfulness` and four more, from 0 to 4), HelpSteer2's preferences
(`preference_strength`), HelpSteer3 (`context`, `overall_preference`). Recognised by those columns. Loses: what
single annotators wrote, domains and languages; it names them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alignment.rows import answers, prompts
from alignment.rows.cells import whole_number
from alignment.rows.descriptor import Format, with_columns
from alignment.rows.found import (
    BadRow,
    Columns,
    Found,
    Graded,
    ImportedAnswer,
    ImportedLabel,
    Preferred,
    Said,
    Tied,
)
from alignment.seam.words import _

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
HIGHEST = 4
STRENGTHS = ("overall_preference", "preference_strength")
STRONGEST = 3


def fits(row: object) -> bool:
    """Whether it holds an answer with all attributes, or two with a strength."""
    if not isinstance(row, dict):
        return False
    if all(row.get(name) is not None for name in ATTRIBUTES):
        return answers.fits(row)
    return bool(_strength(row)) and answers.fits(_asked(row))


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt, its answers and what was said of them; the columns that were used."""
    if not fits(row):
        raise BadRow(
            _("neither five attributes nor a preference in it; its columns: {named}").format(
                named=prompts.named(row)
            )
        )
    found.blank = True
    name = _strength(row)
    if all(row.get(one) is not None for one in ATTRIBUTES):
        used = answers.read(row, found) | {*ATTRIBUTES}
        marks = {one: _whole(row[one], one, 0, HIGHEST) for one in ATTRIBUTES}
        return _said(found, _rated(marks), 1, used, marks)
    used = answers.read(_asked(row), found) | {name}
    if "context" in row and not prompts.asking(row):
        used = used - {"messages"} | {"context"}
    return _said(found, _preferred(_whole(row[name], name, -STRONGEST, STRONGEST)), 2, used)


def _said(
    found: Found, said: Said, count: int, used: set[str], about: Mapping[str, int] | None = None
) -> set[str]:
    """Add the label of so many answers; raises BadRow where there are others."""
    prompt = found.prompts[-1]
    keys = tuple(answer.key for answer in prompt.answers)
    if len(set(keys)) == 1 < count:
        found.left_out[answers.EQUAL] += 1
        return used
    if len(keys) != count:
        raise BadRow(_("what is said is not of {n} answers").format(n=count))
    known: list[ImportedAnswer] = [
        replace(one, about={**one.about, **(about or {})}) for one in prompt.answers
    ]
    labels = (ImportedLabel("", keys, said),)
    found.prompts[-1] = replace(prompt, answers=tuple(known), labels=labels)
    return used


def _strength(row: Columns) -> str:
    return next((name for name in STRENGTHS if row.get(name) is not None), "")


def _asked(row: Columns) -> Columns:
    """The row with its context as the conversation that is answered."""
    if isinstance(row.get("context"), list) and not prompts.asking(row):
        return {**{n: v for n, v in row.items() if n != "context"}, "messages": row["context"]}
    return row


def _rated(marks: Mapping[str, int]) -> Graded:
    attributes = tuple(marks.items())
    return Graded(marks[ATTRIBUTES[0]], HIGHEST, lowest=0, attributes=attributes)


def _preferred(strength: int) -> Said:
    """Below zero the first one is better."""
    return Preferred(int(strength > 0), abs(strength)) if strength else Tied()


def _whole(value: object, what: str, low: int, high: int) -> int:
    """A whole number, as text too; raises BadRow."""
    number = whole_number(value)
    if type(number) is not int or not low <= number <= high:
        raise BadRow(
            _("“{what}” is no whole number from {low} to {high}").format(
                what=what, low=low, high=high
            )
        )
    return number


FORMAT = Format(
    title=_("HelpSteer"),
    help=_(
        "answers with helpfulness and four more marks, or pairs with a preference from -3 to 3."
    ),
    loses=_("what single annotators wrote, domains and languages."),
    fits=fits,
    read=read,
    may=with_columns({*ATTRIBUTES}, *({one} for one in STRENGTHS)),
    flat=True,
)
