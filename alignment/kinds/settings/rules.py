"""Rules as settings name them: what each is called, what it reads, how several are written.

Torch-free; what the rules find is in `alignment.targets.rules`.
"""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from alignment.foreign import patterns
from alignment.seam.words import _, said

RuleName = Literal["no_rule", "contains", "matches", "words", "similarity", "embedding_similarity"]
RULES: Mapping[RuleName, str] = {
    "no_rule": _("No rule"),
    "contains": _("A phrase occurs"),
    "matches": _("A pattern occurs"),
    "words": _("Number of words"),
    "similarity": _("Similarity to examples, by TF-IDF"),
    "embedding_similarity": _("Similarity to examples, by embeddings"),
}
RULED: tuple[RuleName, ...] = get_args(RuleName)[1:]
WORDED: tuple[RuleName, ...] = tuple(name for name in RULED if name != "words")
EXAMPLES = re.compile(r"[\n|]")  # what parts examples
PARTS = re.compile(r"[\n;]")  # what parts rules
MOST_RULES = 32  # each is tried while somebody waits
LARGEST = 10_000.0  # number of words that can be wished for
REACH: Mapping[
    RuleName, tuple[float, float]
] = {  # between which the mean of what a rule finds lies
    "contains": (0, 1),
    "matches": (0, 1),
    "words": (0, LARGEST),
    "similarity": (0, 1),
    "embedding_similarity": (-1, 1),
}


class WeightedRule(NamedTuple):
    """A part of the reward: what it weighs, which rule it is, and the text that the rule reads."""

    weight: float
    name: RuleName
    text: str

    def check(self) -> None:
        """Raise ValueError where the rule cannot be asked."""
        if self.name in WORDED and not self.text.strip():
            raise ValueError(said(_("the rule “{name}” has no text"), name=self.name))
        if self.name.endswith("similarity") and not examples_of(self.text):
            raise ValueError(said(_("the rule “{name}” has no example"), name=self.name))
        if self.name == "matches":
            check_pattern(self.text)


def examples_of(text: str) -> list[str]:
    """The examples of a similarity: lines, or parts between bars."""
    return [part.strip() for part in EXAMPLES.split(text) if part.strip()]


def check_pattern(pattern: str) -> None:
    """Raise ValueError for what is no regular expression, or is too slow on a text of 300 letters."""
    if not pattern.isalnum() and (fault := patterns.fault_of(pattern)):
        raise ValueError(f"“{pattern}” {fault}")


def rules_of(text: str) -> list[WeightedRule]:
    """The rules in "2 contains please; -0.1 words"; raises ValueError naming one that is not."""
    return [_rule_of(part, "weight from -100 to 100", 100) for part in _parts(text)]


def wishes_of(text: str) -> list[WeightedRule]:
    """The wished means in "0.5 contains she; 12 words"; raises ValueError naming one that cannot be met."""
    found = [_rule_of(part, "mean", LARGEST) for part in _parts(text)]
    for mean, name, about in found:
        low, high = REACH[name]
        if not low < mean < high:
            wish = " ".join(filter(None, (name, about)))
            raise ValueError(
                said(
                    _("the mean of “{wish}” must be above {low:g} and below {high:g}"),
                    wish=wish,
                    low=low,
                    high=high,
                )
            )
    return found


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in PARTS.split(text) if part.strip()]
    if len(parts) > MOST_RULES:
        raise ValueError(said(_("there are more than {most} rules"), most=MOST_RULES))
    return parts


def _rule_of(part: str, number: str, largest: float) -> WeightedRule:
    weight, name, text = [*part.split(maxsplit=2), "", ""][:3]
    try:
        value = float(weight)
    except ValueError:
        value = float("nan")
    if name not in RULED or not abs(value) <= largest:
        raise ValueError(
            said(
                _("“{part}” is not a {number}, one of {ruled}, and a text"),
                part=part,
                number=number,
                ruled=", ".join(RULED),
            )
        )
    rule = WeightedRule(value, name, text)
    rule.check()
    return rule
