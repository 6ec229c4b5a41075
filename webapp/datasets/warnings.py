"""What a snapshot's health report says, in words: facts, and what is to be done about what is wrong."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

Health = Mapping[str, Any]
MANY = 0.1  # of the pairs
MOST_BY_ONE = 0.5  # of the labels
ENOUGH = 50  # labels of which a share says something
LONGER = 0.6  # of the pairs, with the whole interval
SHOWN = 5  # languages


class HealthWarning(NamedTuple):
    """Something that is wrong, and what to do."""

    words: str
    advice: str


def health_warnings(manifest: Mapping[str, Any]) -> list[HealthWarning]:
    """All that is wrong with a snapshot; nothing where it was not measured."""
    health = manifest.get("health")
    return list(_warnings(health)) if health else []


def warned_of(manifest: Mapping[str, Any]) -> list[str]:
    """The same in sentences, for who is about to learn from it."""
    return [f"{one.words} {one.advice}" for one in health_warnings(manifest)]


def _warnings(health: Health) -> Iterator[HealthWarning]:
    if n := health["leaks"] + health["near_leaks"]:
        yield HealthWarning(
            _("Prompts that come in several splits, or nearly do: {n}.").format(n=f"{n:,}"),
            _(
                "Retire all but one of each under Prompts and freeze anew; else results look too good."
            ),
        )
    if n := health["own_contradictions"]:
        yield HealthWarning(
            _("Pairs that one and the same person judged both ways: {n}.").format(n=f"{n:,}"),
            _("Look at them under Data → Quality; clearer guidelines help."),
        )
    if health["contradictions"] > MANY * max(1, health["pairs"]):
        yield HealthWarning(
            _("Pairs that were judged both ways: {n}.").format(n=f"{health['contradictions']:,}"),
            _("Settle them under Data → Quality → Disagreements, then freeze anew."),
        )
    yield from _of_the_pairs(health)
    people = health["people"]
    if people["labels"] >= ENOUGH and (top := people["top"]) > MOST_BY_ONE:
        yield HealthWarning(
            _("{share} of the labels are by one person.").format(share=_percent(top)),
            _("Let others label more: a model learns that person's taste."),
        )


def _of_the_pairs(health: Health) -> Iterator[HealthWarning]:
    pairs = max(1, health["pairs"])
    if (n := health["repeated"] + health["near_pairs"]) > MANY * pairs:
        yield HealthWarning(
            _("Pairs that were asked about more than once, or nearly: {n}.").format(n=f"{n:,}"),
            _("They count so often; leave out what came twice, or take one of the imports back."),
        )
    if (n := health["equal"]) > MANY * (pairs + n):
        yield HealthWarning(
            _("Pairs of equal answers: {n}.").format(n=f"{n:,}"),
            _("They teach nothing; draw answers at a higher temperature."),
        )
    longer = health["lengths"]["longer"]
    if longer["low"] is not None and health["pairs"] >= ENOUGH and longer["low"] > LONGER:
        yield HealthWarning(
            _("The longer answer was chosen in {share} of the pairs.").format(
                share=_with_interval(longer, _percent)
            ),
            _("A reward model may learn length alone: look at its accuracy by length."),
        )


def health_in_words(health: Health) -> Iterator[tuple[str, str]]:
    """What was measured: names and values."""
    compared = f"{health['compared']:,}"
    yield _("Prompts in several splits"), f"{health['leaks']:,}"
    near = _("Prompts nearly the same in several splits, of {n} compared").format(n=compared)
    yield near, f"{health['near_leaks']:,}"
    yield _("Prompts nearly the same as another"), f"{health['near_prompts']:,}"
    yield _("Pairs judged both ways"), f"{health['contradictions']:,}"
    yield _("Pairs one person judged both ways"), f"{health['own_contradictions']:,}"
    yield _("Pairs asked about once more"), f"{health['repeated']:,}"
    yield _("Pairs nearly the same as another"), f"{health['near_pairs']:,}"
    yield _("Pairs of equal answers"), f"{health['equal']:,}"
    if people := health["people"]["n"]:
        yield _("Annotators"), f"{people:,}"
        yield _("Labels by whoever gave most"), _percent(health["people"]["top"])
    lengths = health["lengths"]
    if lengths["chosen"]["value"] is not None:
        yield _("Characters of chosen answers (median)"), _with_interval(lengths["chosen"], _whole)
        rejected = _with_interval(lengths["rejected"], _whole)
        yield _("Characters of rejected answers (median)"), rejected
    if lengths["longer"]["value"] is not None:
        yield _("The longer answer was chosen"), _with_interval(lengths["longer"], _percent)
    if spoken := health["languages"]:
        yield _("Languages of the prompts"), _languages(spoken)


def _languages(spoken: Mapping[str, int]) -> str:
    number = sum(spoken.values())
    shares = [(code or _("not known"), n / number) for code, n in spoken.items()]
    return ", ".join(f"{code} {_percent(part)}" for code, part in shares[:SHOWN])


def _with_interval(found: Mapping[str, Any], shown: Callable[[float], str]) -> str:
    low, high = found["low"], found["high"]
    value = shown(found["value"])
    return value if low is None or high is None else f"{value} [{shown(low)}, {shown(high)}]"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _whole(value: float) -> str:
    return f"{value:,.0f}"
