"""What exports leave out of a snapshot, said before anybody makes one."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports import EXPORTS
from webapp.datasets.exports.descriptor import ExportFormat
from webapp.datasets.exports.holdings import HOLDINGS, held
from webapp.datasets.models import Snapshot
from webapp.datasets.queries import answers_without_a_pair
from webapp.site.words import Words

KEPT, LEFT_OUT, REFUSED = _("kept"), _("left out"), _("refused")


class LeftOut(NamedTuple):
    """Something a snapshot holds that not every format keeps."""

    words: Words
    n: int
    fates: list[Words]  # in the order of the formats
    among: list[tuple[Words, int]]  # which they are, where a label's answer says


def losses_of(snapshot: Snapshot) -> list[LeftOut]:
    """What of a snapshot some format does not keep; nothing where its folder left the store."""
    folder = snapshot.artifact.path
    return list(_losses(snapshot, held(folder))) if folder.is_dir() else []


def _losses(snapshot: Snapshot, counts: Mapping[str, int]) -> Iterator[LeftOut]:
    for name, holding in HOLDINGS.items():
        fates = [_fate(one, name) for one in EXPORTS.values()]
        if counts[name] and any(fate is not KEPT for fate in fates):
            among = answers_without_a_pair(snapshot) if name == "ties" else []
            yield LeftOut(holding.words, counts[name], fates, among)


def _fate(one: ExportFormat, name: str) -> Words:
    if name in one.refuses:
        return REFUSED
    return KEPT if name in one.keeps else LEFT_OUT
