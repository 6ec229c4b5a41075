"""Flags that people set beside an answer, and the setting that names one."""

from collections.abc import Mapping
from typing import Literal

from alignment.seam.words import _

FlagName = Literal["any", "harmful", "false", "refuses", "off_topic"]
FLAGS: Mapping[FlagName, str] = {
    "any": _("Any of them"),
    "harmful": _("Harmful"),
    "false": _("False"),
    "refuses": _("Refuses"),
    "off_topic": _("Off topic"),
}
