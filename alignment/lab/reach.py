"""How far an edited fact reaches: whether it holds, also in other words, and what it has left alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from alignment.kinds.edit.facts import Fact
from alignment.lab.facts import Reading, most_probable, nats_of, next_logps
from alignment.maths.estimators import clipped, estimate
from alignment.models.texts import Written

SAID = 16  # tokens of an answer that is shown


@dataclass(frozen=True)
class FactCheck:
    """A fact, and what the original says: its old answer, and what follows neighbours."""

    fact: Fact
    old: tuple[int, ...]
    said: str
    likelier: float  # nats a token of the old answer less those of the new: above 0 where the new one is likelier
    neighbours: Tensor | None  # (n, vocab) log-probabilities of the token behind each

    def rows(self, reading: Reading, prompt: str) -> tuple[Written, Written]:
        """A prompt with the new answer, and with the old one."""
        new = reading.answer(prompt, self.fact.answer)
        return reading.written(prompt, new), reading.written(prompt, self.old)

    def holds(self, reading: Reading) -> bool:
        """Whether the new answer is likelier than the old one."""
        return likelier_by(reading, self, self.fact.prompt) > 0


def known_of(reading: Reading, fact: Fact) -> FactCheck:
    """What the original says; its old answer is the fact's own, or as long as the new one and most probable."""
    policy = reading.policy
    ids = reading.ids(fact.prompt)
    reading.subject(ids, fact.subject)
    said = most_probable(policy, [ids], SAID)[0]
    length = len(reading.answer(fact.prompt, fact.answer))
    old = reading.answer(fact.prompt, fact.old) if fact.old else said[:length]
    behind = (
        next_logps(policy, [reading.ids(one) for one in fact.neighbours])
        if fact.neighbours
        else None
    )
    check = FactCheck(fact, tuple(old), policy.text(said, ids), 0.0, behind)
    likelier = likelier_by(reading, check, fact.prompt)
    return FactCheck(fact, check.old, check.said, likelier, behind)


def likelier_by(reading: Reading, check: FactCheck, prompt: str) -> float:
    """By how many nats a token the new answer is likelier than the old one."""
    new, old = nats_of(reading.policy, check.rows(reading, prompt))
    return old - new


@dataclass(frozen=True)
class Reach:
    """What became of a fact; shares are of its paraphrases and neighbours, None without any."""

    check: FactCheck
    said: str
    likelier: float
    generality: float | None
    locality: float | None
    neighbour_kl: float | None


@torch.no_grad()
def measured_reach(reading: Reading, check: FactCheck) -> Reach:
    """How far a fact reaches in the model as it is now."""
    policy, fact = reading.policy, check.fact
    ids = reading.ids(fact.prompt)
    other = [likelier_by(reading, check, prompt) > 0 for prompt in fact.paraphrases]
    locality = kl = None
    if check.neighbours is not None:
        now = next_logps(policy, [reading.ids(one) for one in fact.neighbours])
        locality = (now.argmax(1) == check.neighbours.argmax(1)).double().mean().item()
        before = check.neighbours.double()
        kl = (before.exp() * (before - now.double())).sum(1).mean().item()
    return Reach(
        check,
        policy.text(most_probable(policy, [ids], SAID)[0], ids),
        likelier_by(reading, check, fact.prompt),
        sum(other) / len(other) if other else None,
        locality,
        kl,
    )


def reach_told(found: Sequence[Reach]) -> dict[str, Any]:
    """All facts in numbers with intervals over facts, and each of them."""
    columns = {
        "efficacy": [float(one.likelier > 0) for one in found],
        "generality": [one.generality for one in found if one.generality is not None],
        "locality": [one.locality for one in found if one.locality is not None],
    }
    numbers = {
        name: clipped(estimate(column)).model_dump() for name, column in columns.items() if column
    }
    if kls := [one.neighbour_kl for one in found if one.neighbour_kl is not None]:
        numbers["neighbour_kl"] = estimate(kls, "nats").model_dump()
    rows = [
        {
            "prompt": one.check.fact.prompt,
            "answer": one.check.fact.answer,
            "before": one.check.said,
            "after": one.said,
            "likelier_before": one.check.likelier,
            "likelier_after": one.likelier,
            "generality": one.generality,
            "locality": one.locality,
        }
        for one in found
    ]
    return {**numbers, "facts": rows}
