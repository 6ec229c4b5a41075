"""What exports leave out of a snapshot, said before anybody makes one."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.holdings import HOLDINGS, held
from webapp.datasets.models import Snapshot
from webapp.datasets.queries import answers_without_a_pair
from webapp.site.words import Words

LEFT_OUT, REFUSED = _("left out"), _("refused")


class LeftOut(NamedTuple):
    """Something that a snapshot holds and a format does not keep."""

    words: Words
    n: int
    fate: Words
    among: list[tuple[Words, int]]  # which they are, where a label's answer says


def losses_of(snapshot: Snapshot, form: ExportFormat) -> list[LeftOut]:
    """What of a snapshot a format does not keep; nothing where its folder left the store."""
    folder = snapshot.artifact.path
    return list(_losses(snapshot, form, held(folder))) if folder.is_dir() else []


def _losses(snapshot: Snapshot, form: ExportFormat, counts: Mapping[str, int]) -> Iterator[LeftOut]:
    for name, holding in HOLDINGS.items():
        if counts[name] and name not in form.keeps:
            among = answers_without_a_pair(snapshot) if name == "ties" else []
            fate = REFUSED if name in form.refuses else LEFT_OUT
            yield LeftOut(holding.words, counts[name], fate, among)
