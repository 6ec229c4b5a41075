"""The keys of the label page: what each does, which character it usually is, and what a person changed."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from webapp.accounts.models import User


class Key(NamedTuple):
    """Something that a key does; `usual` is the character that does it unless somebody chose another."""

    action: str
    usual: str
    words: str


KEYS = (
    Key("choose-1", "1", "A is much better"),
    Key("choose-2", "2", "A is better"),
    Key("choose-3", "3", "A is slightly better"),
    Key("choose-4", "4", "Tie: equally good"),
    Key("choose-5", "5", "B is slightly better"),
    Key("choose-6", "6", "B is better"),
    Key("choose-7", "7", "B is much better"),
    Key("choose-0", "0", "Both are bad"),
    Key("undo", "u", "Undo what you did last: an answer, a skip, a flag"),
    Key("skip", "x", "Skip this pair: one more key says why"),
    Key("flags", "f", "Flags"),
    Key("why", "w", "Why: a reason in your words"),
    Key("down", "j", "Scroll both answers down"),
    Key("up", "k", "Scroll both answers up"),
    Key("together", "s", "Scroll both answers together, or each by itself"),
    Key("raw", "r", "The texts as they were written, or rendered; kept for you"),
    Key("context", "c", "Fold earlier turns, or show them"),
    Key("guidelines", "g", "Guidelines"),
    Key("help", "?", "These keys"),
)


def keys_of(person: User) -> dict[str, str]:
    """The key of each action; none at all for somebody who switched them off."""
    return {} if person.label_keys.get("off") else chosen_keys(person)


def chosen_keys(person: User) -> dict[str, str]:
    """The key of each action as chosen, switched off or not."""
    changed: Mapping[str, str] = person.label_keys.get("keys", {})
    return {key.action: changed.get(key.action, key.usual) for key in KEYS}


def clashes(chosen: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each action whose key an earlier one has already, with that key."""
    taken: set[str] = set()
    for action, key in chosen.items():
        if key in taken:
            yield action, key
        taken.add(key)


def save_keys(person: User, chosen: Mapping[str, str], *, off: bool) -> None:
    """Keep what differs from the usual keys."""
    usual = {key.action: key.usual for key in KEYS}
    changed = {action: key for action, key in chosen.items() if key != usual[action]}
    person.label_keys = {"off": off, "keys": changed}
    person.save(update_fields=["label_keys"])
