"""What the simulated people of a demo project like, hidden from everything that learns.

Torch-free. Only the simulated annotators and the final judge import this module (a test): a reward
model has to find the utility out from labels. No single word decides it; every count saturates.
"""

import math
import random
import re

from alignment.world.grammar import TOPICS
from alignment.world.instructions import KNOWN
from alignment.world.prose import prose_utility

POLITE = frozenset(
    [
        "please",
        "thank",
        "thanks",
        "kindly",
        "gladly",
        "glad",
        "happy",
        "pleasure",
        "lovely",
        "wonderful",
        "wonderfully",
        "enjoy",
        "hope",
        "friend",
        "best",
        "wishes",
        "luck",
        "care",
        "welcome",
        "perhaps",
        "could",
        "would",
        "help",
        "helps",
    ]
)
RUDE = frozenset(
    [
        "stupid",
        "fool",
        "silly",
        "lazy",
        "obviously",
        "whatever",
        "ugh",
        "nobody",
        "shut",
        "whining",
        "dumb",
        "slow",
        "waste",
        "wasting",
        "bother",
        "fail",
        "alone",
        "away",
        "just",
        "stop",
        "anyway",
    ]
)
COMMON = frozenset(
    [
        "the",
        "and",
        "you",
        "your",
        "for",
        "not",
        "are",
        "what",
        "when",
        "with",
        "that",
        "this",
        "them",
        "then",
        "from",
        "more",
        "less",
        "little",
        "before",
        "after",
        "early",
        "time",
        "times",
        "home",
        "week",
        "know",
        "start",
        "hard",
        "way",
        "best",
        "how",
        "without",
        "take",
        "keep",
        "make",
        "use",
        "one",
        "two",
        "off",
        "out",
        "into",
        "last",
        "good",
        "does",
    ]
)
FULL, LONG = 8, 20  # words: shorter is thin, longer rambles

SIDE = 0.25  # standard deviation of a person's pull to one side, in units of utility
NOISE = 0.8  # scale of the logistic noise, in units of utility
STEPS = (0.3, 1.3, 2.8)  # how much better is slightly better, better, much better
MIDDLE = 4  # of seven marks
BOTH_BAD = -2.6  # utility below which both completions are refused


def utility(prompt: str, completion: str) -> float:
    """How much the simulated people like a completion: manners + topic + length - repetition.

    Of an answer to one of the instructions that a model of somebody's is asked they like what `prose` says.
    """
    if prompt in KNOWN:
        return prose_utility(prompt, completion)
    words = _words(completion)
    return 2.2 * _manners(words) + _topicality(prompt, words) + _length(words) - _repetition(words)


class SimulatedAnnotator:
    """A person who judges by the utility, with a bias to one side and logistic noise."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        self.side = self._random.gauss(0, SIDE)

    def choose(self, prompt: str, left: str, right: str) -> int:
        """1 (left much better) to 7 (right much better), 4 for a tie, 0 when both are bad."""
        before, after = utility(prompt, left), utility(prompt, right)
        if max(before, after) < BOTH_BAD:
            return 0
        felt = after - before + self.side + self._noise()
        strength = sum(abs(felt) > step for step in STEPS)
        return 4 + int(math.copysign(strength, felt))

    def mark(self, prompt: str, completion: str) -> int:
        """From 1 to 7: how good it is by itself, MIDDLE being neither good nor bad."""
        felt = utility(prompt, completion) + self._noise()
        strength = sum(abs(felt) > step for step in STEPS)
        return MIDDLE + int(math.copysign(strength, felt))

    def _noise(self) -> float:
        """Logistic noise, in units of utility."""
        uniform = min(max(self._random.random(), 1e-9), 1 - 1e-9)
        return NOISE * math.log(uniform / (1 - uniform))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _manners(words: list[str]) -> float:
    """Between -1 and 1: polite words against rude ones, saturating after about four."""
    return math.tanh((sum(w in POLITE for w in words) - sum(w in RUDE for w in words)) / 3)


def _topicality(prompt: str, words: list[str]) -> float:
    """Between -1 and 1: words that belong to the prompt's subject against those of other subjects."""
    wanted = _subject_words(prompt)
    ours = sum(word in wanted for word in words)
    others = sum(word in _SPECIFIC and word not in wanted for word in words)
    return (ours - others) / (ours + others + 2)


def _length(words: list[str]) -> float:
    """At most 0: a penalty for answers too thin to help and one for those that ramble."""
    thin = max(0.0, 1 - len(words) / FULL)
    ramble = max(0, len(words) - LONG)
    return -1.5 * thin - 1.5 * math.tanh(ramble / 12)


def _repetition(words: list[str]) -> float:
    """At least 0: grows once fewer than seven words in ten are different ones."""
    return 3 * max(0.0, 0.7 - len(set(words)) / max(1, len(words)))


def _subject_words(prompt: str) -> frozenset[str]:
    """The words of the topic that the prompt names most, together with the prompt's own."""
    asked = [word for word in _words(prompt) if word in _SPECIFIC]
    votes = dict.fromkeys(TOPICS, 0.0)
    for word in asked:
        for topic in _SPECIFIC[word]:
            votes[topic] += 1 / len(_SPECIFIC[word])
    best = max(votes, key=votes.__getitem__)
    return frozenset(asked) | (_VOCABULARY[best] if asked else frozenset())


def _vocabulary() -> dict[str, frozenset[str]]:
    return {
        name: frozenset(
            word
            for phrase in (*topic.tasks, *topic.actions, *topic.reasons)
            for word in _words(phrase)
            if len(word) > 2 and word not in COMMON | POLITE | RUDE
        )
        for name, topic in TOPICS.items()
    }


_VOCABULARY = _vocabulary()
_SPECIFIC: dict[str, tuple[str, ...]] = {
    word: topics
    for word in frozenset().union(*_VOCABULARY.values())
    if len(topics := tuple(name for name, words in _VOCABULARY.items() if word in words)) <= 2
}
