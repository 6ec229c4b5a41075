"""Names that people and files give: on one line, and with nothing in them that nobody would see."""

import re
from typing import TYPE_CHECKING, Any

from django.db import models

from webapp.rendering.written import UNSEEN

GAP = re.compile(r"[\s\x85]+")

if TYPE_CHECKING:
    Text = models.CharField[str, str]  # generic in its stubs only
else:
    Text = models.CharField


def visible(name: str) -> str:
    """The name, with a code for each character that is not seen or turns the direction of others."""
    if name.isascii() and name.isprintable():
        return name
    return UNSEEN.sub(_told, GAP.sub(" ", name))


def _told(found: re.Match[str]) -> str:
    if found["control"] is None:
        return found[0]
    return "".join(f"[U+{ord(sign):04X}]" for sign in found["control"])


class NameField(Text):
    """A name, stored and read as it can be shown anywhere; so are names from before."""

    def get_prep_value(self, value: object) -> Any:  # noqa: ANN401 - as Django has it
        """What is stored, and looked for."""
        found = super().get_prep_value(value)
        return self._whole(found) if isinstance(found, str) else found

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        """What was stored, also by an earlier version."""
        return visible(value) if value else value

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """A column like any other of text: no migration of its own."""
        name, _path, given, named = super().deconstruct()
        return name, "django.db.models.CharField", given, named

    def _whole(self, name: str) -> str:
        seen = visible(name)
        return name if seen == name else seen[: self.max_length]
