"""The setting that says what becomes of rows which are longer than a model's context."""

from collections.abc import Mapping
from typing import Any, Literal

from alignment.seam.settings import ALWAYS, setting
from alignment.seam.words import _

OverlongName = Literal["refuse", "drop", "cut_left"]
OVERLONG: Mapping[OverlongName, str] = {
    "refuse": _("Refuse the run"),
    "drop": _("Leave out"),
    "cut_left": _("Cut the oldest words"),
}


def overlong(topic: str, when: Mapping[str, tuple[str, ...]] = ALWAYS) -> Any:  # noqa: ANN401 - as `setting`
    """What becomes of rows that do not fit; how many they were is counted and said."""
    return setting(
        "drop",
        _("Rows that are too long"),
        help=_(
            "For the model's context, with the answer: the run is refused, or they are left out, or the "
            "oldest words of their prompts are, never any of an answer. Their number is told."
        ),
        topic=topic,
        advanced=True,
        choices=OVERLONG,
        when=when,
    )
