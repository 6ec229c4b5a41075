"""The scripts of kinds of task, served from their folders; nothing else in these is public."""

from collections.abc import Iterator
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

from webapp.labeling.kinds import TASK_KINDS


class CardScripts(BaseFinder):
    """Each kind's `card.js`, as kinds/NAME/card.js."""

    def find(self, path: str, find_all: bool = False, **_: object) -> str | list[str]:  # noqa: FBT001, FBT002 - Django's
        """Where the file of this address lies."""
        found = [
            str(kind.script)
            for kind in TASK_KINDS.values()
            if kind.script and path == f"kinds/{kind.name}/{kind.script.name}"
        ]
        return found if find_all else next(iter(found), [])

    def list(self, _ignored: object) -> Iterator[tuple[str, Any]]:
        """All of them, each with where it lies."""
        for kind in TASK_KINDS.values():
            if kind.script:
                lies = FileSystemStorage(location=kind.script.parent)
                lies.prefix = f"kinds/{kind.name}"
                yield kind.script.name, lies
