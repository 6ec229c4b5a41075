"""Rules as settings name them: what each is called, what it reads, how several are written.

Torch-free; what the rules find is in `alignment.rules`.
"""

import re
from typing import Literal, NamedTuple, get_args

RuleName = Literal["no_rule", "contains", "matches", "words", "similarity", "embedding_similarity"]
RULED: tuple[RuleName, ...] = get_args(RuleName)[1:]
WORDED: tuple[RuleName, ...] = tuple(name for name in RULED if name != "words")
EXAMPLES = re.compile(r"[\n|]")  # what parts examples
PARTS = re.compile(r"[\n;]")  # what parts rules


class WeightedRule(NamedTuple):
    """A part of the reward: what it weighs, which rule it is, and the text that the rule reads."""

    weight: float
    name: RuleName
    text: str

    def check(self) -> None:
        """Raise ValueError where the rule cannot be asked."""
        if self.name in WORDED and not self.text.strip():
            raise ValueError(f"the rule “{self.name}” has no text")
        if self.name.endswith("similarity") and not examples_of(self.text):
            raise ValueError(f"the rule “{self.name}” has no example")
        if self.name == "matches":
            check_pattern(self.text)


def examples_of(text: str) -> list[str]:
    """The examples of a similarity: lines, or parts between bars."""
    return [part.strip() for part in EXAMPLES.split(text) if part.strip()]


def check_pattern(pattern: str) -> None:
    """Raise ValueError for what is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"“{pattern}” is no regular expression: {error}") from error


def rules_of(text: str) -> list[WeightedRule]:
    """The rules in "2 contains please; -0.1 words"; raises ValueError naming one that is not."""
    return [_rule_of(part.strip()) for part in PARTS.split(text) if part.strip()]


def _rule_of(part: str) -> WeightedRule:
    weight, name, text = [*part.split(maxsplit=2), "", ""][:3]
    try:
        value = float(weight)
    except ValueError:
        value = float("nan")
    if name not in RULED or not abs(value) <= 100:
        raise ValueError(
            f"“{part}” is not a weight from -100 to 100, one of {', '.join(RULED)}, and a text"
        )
    rule = WeightedRule(value, name, text)
    rule.check()
    return rule
