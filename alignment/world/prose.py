"""What the simulated people like in answers to instructions, hidden from everything that learns.

Torch-free; asked by `alignment.world.utility` alone. It is about the form that anybody would mind: an answer that is
short and comes to its end, a list where one was asked for, the subject of the question, no opening phrases, and
nothing said twice.
"""

import math
import re

from alignment.world.instructions import LISTED

ENDED = re.compile(r"[.!?][\"'\u201d\u2019)*]*\Z")  # how a whole sentence ends
ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)
OPENING = re.compile(
    r"\s*(?:sure|certainly|of course|absolutely|great question|here (?:is|are)|here's|as an ai|i'm sorry|i am sorry)\b",
    re.IGNORECASE,
)
THIN, LONG = 6, 25  # words: shorter says little, longer rambles
ENOUGH = 3  # items of a list
SUBJECT = 5  # letters: a longer word names what is asked about, and its first letters its kin


def prose_utility(prompt: str, completion: str) -> float:
    """How much the simulated people like an answer: end + length + form + subject - opening - repetition."""
    text, words = completion.strip(), re.findall(r"[a-z']+", completion.lower())
    end = 1.0 if ENDED.search(text) else -1.0
    opening = 0.8 if OPENING.match(text) else 0.0
    said = _subject(prompt, words) - opening - _repetition(words)
    return end + _length(words) + _form(prompt, text) + said


def _length(words: list[str]) -> float:
    """At most 0: for answers too thin to help, and for those that ramble."""
    thin = max(0.0, 1 - len(words) / THIN)
    return -2.5 * thin - 1.5 * math.tanh(max(0, len(words) - LONG) / 12)


def _form(prompt: str, text: str) -> float:
    """A list where one was asked for; elsewhere sentences."""
    items = len(ITEM.findall(text))
    return 1.5 * min(items, ENOUGH) / ENOUGH if prompt in LISTED else -0.4 * min(items, ENOUGH)


def _subject(prompt: str, words: list[str]) -> float:
    """From 0 to 1: whether an answer takes up two of the prompt's own words, by their beginnings."""
    _verb, *asked = re.findall(r"[a-z]+", prompt.lower())
    beginnings = {word[:SUBJECT] for word in asked if len(word) >= SUBJECT}
    wanted = min(2, len(beginnings)) or 1
    return min(1.0, len(beginnings & {word[:SUBJECT] for word in words}) / wanted)


def _repetition(words: list[str]) -> float:
    """At least 0: grows once fewer than seven words in ten are different ones."""
    return 4 * max(0.0, 0.7 - len(set(words)) / max(1, len(words)))
