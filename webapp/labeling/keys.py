"""The keys of the label page: what each does, which character it usually is, and what a person changed."""

from collections.abc import Iterator, Mapping
from itertools import chain

from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import User
from webapp.labeling.composition import Composition
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.descriptor import Key

GENERAL = (
    Key("undo", "u", _("Undo what you did last: an answer, a skip, a flag")),
    Key("skip", "x", _("Skip this task: one more key says why")),
    Key("flags", "f", _("Flags")),
    Key("why", "w", _("Why: a reason in your words")),
    Key("down", "j", _("Scroll both answers down")),
    Key("up", "k", _("Scroll both answers up")),
    Key("together", "s", _("Scroll both answers together, or each by itself")),
    Key("raw", "r", _("The texts as they were written, or rendered; kept for you")),
    Key("context", "c", _("Fold earlier turns, or show them")),
    Key("guidelines", "g", _("Guidelines")),
    Key("help", "?", _("These keys")),
)


def all_keys(composition: Composition | None = None) -> list[Key]:
    """Those of the kinds of task, then those of every card; where kinds share a key it says all it does.

    With a project's form, of the kinds that it offers those that answer by it.
    """
    shared: dict[str, Key] = {}
    of_kinds = [
        kind.composed_keys(composition) if composition else kind.keys
        for name, kind in TASK_KINDS.items()
        if composition is None or composition.offers(name)
    ]
    for key in chain.from_iterable(of_kinds):
        before = shared.get(key.action)
        words = f"{before.words} · {key.words}" if before else key.words
        shared[key.action] = (before or key)._replace(words=words)
    return [*shared.values(), *GENERAL]


def keys_of(person: User) -> dict[str, str]:
    """The key of each action; none at all for somebody who switched them off."""
    return {} if person.label_keys.get("off") else chosen_keys(person)


def chosen_keys(person: User) -> dict[str, str]:
    """The key of each action as chosen, switched off or not."""
    changed: Mapping[str, str] = person.label_keys.get("keys", {})
    return {key.action: changed.get(key.action, key.usual) for key in all_keys()}


def clashes(chosen: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each action whose key an earlier one has already, with that key."""
    taken: set[str] = set()
    for action, key in chosen.items():
        if key in taken:
            yield action, key
        taken.add(key)


def save_keys(person: User, chosen: Mapping[str, str], *, off: bool) -> None:
    """Keep what differs from the usual keys."""
    usual = {key.action: key.usual for key in all_keys()}
    changed = {action: key for action, key in chosen.items() if key != usual[action]}
    person.label_keys = {"off": off, "keys": changed}
    person.save(update_fields=["label_keys"])
