"""What formats of preferences for LLaMA-Factory share: the description of their files that it asks for."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from alignment.seam.records import Message
from webapp.datasets.errors import ExportRefusal
from webapp.datasets.exports.writers import JSON_LINES

READER = gettext_lazy("LLaMA-Factory")
CONSUMER = gettext_lazy("LLaMA-Factory's stages “dpo” and “rm”")
KEEPS = frozenset(["preferences", "pairings", "turns"])
COLUMNS = """\
`dataset_info.json` describes the files:
give this folder as `dataset_dir` and one of its names as `dataset`."""


def described(
    config: str, about: Mapping[str, Any]
) -> Callable[[Mapping[str, int]], Mapping[str, str]]:
    """What makes `dataset_info.json`, with a data set for each split that has rows."""

    def beside(rows: Mapping[str, int]) -> Mapping[str, str]:
        info = {
            f"{config}_{split}": {"file_name": f"{config}/{split}{JSON_LINES.suffix}", **about}
            for split in rows
        }
        return {"dataset_info.json": json.dumps(info, indent=2) + "\n"}

    return beside


SPEAKERS = (("user", "tool"), ("assistant",))  # in turn


def system_and_talk(turns: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """The system's words, "" for none, and what user and assistant say in turn; raises ExportRefusal."""
    system = turns[0].content if turns[0].role == "system" else ""
    talk = turns[1:] if system else turns
    if any(turn.role not in SPEAKERS[place % 2] for place, turn in enumerate(talk)):
        raise ExportRefusal(
            _(
                "In some prompts somebody speaks twice in a row, or the system speaks later than first, which "
                "LLaMA-Factory does not read. Export to TRL as lists of messages instead."
            )
        )
    return system, talk
