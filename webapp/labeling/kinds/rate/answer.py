"""The marks of one answer or several: each says of which, on which scale, and of how many levels.

So an answer is read without the form that asked it: "A:helpful:3/5" is a 3 of 5 for the first item.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from webapp.labeling.composition import QUALITY
from webapp.labeling.kinds.descriptor import LETTERS

MOST_RATED = 4  # items at once
MOST_READ = 100  # levels of a scale in a file
MOST_SCALES = 16  # of an item in a file
MARK = re.compile(
    rf"([{LETTERS[0]}-{LETTERS[MOST_RATED - 1]}]):(.{{1,40}}):([1-9][0-9]{{0,2}})/([1-9][0-9]{{0,2}})"
)


class Mark(NamedTuple):
    """One mark: of the item in this position, on a scale that goes from 1 to so many levels."""

    item: int
    scale: str
    value: int
    levels: int


def mark_of(text: str) -> Mark:
    """The mark that is written so; raises ValueError where it is none."""
    if (found := MARK.fullmatch(text)) is None:
        raise ValueError("that is no mark")
    letter, scale, value, levels = found.groups()
    if int(value) > int(levels) or not 2 <= int(levels) <= MOST_READ:
        raise ValueError("the mark is beyond its scale")
    return Mark(LETTERS.index(letter), scale, int(value), int(levels))


def _checked(texts: list[str]) -> list[str]:
    """Item by item; every one has the same scales, quality among them, and each a mark on each."""
    marks = [mark_of(text) for text in texts]
    scales = Counter((one.scale, one.levels) for one in marks)
    items = {one.item for one in marks}
    if items != set(range(len(items))) or set(scales.values()) != {len(items)}:
        raise ValueError("every answer needs a mark on every scale")
    if len({(one.item, one.scale) for one in marks}) < len(marks):
        raise ValueError("there are two marks on one scale")
    if QUALITY not in {scale for scale, _ in scales}:
        raise ValueError("there is no mark for the quality")
    return sorted(texts, key=lambda text: text[0])


class Answer(BaseModel):
    """A mark for every item on every scale."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    marks: Annotated[
        list[str],
        Field(min_length=1, max_length=MOST_RATED * MOST_SCALES),
        AfterValidator(_checked),
    ]

    @property
    def read(self) -> Iterator[Mark]:
        """The marks, item by item."""
        return map(mark_of, self.marks)

    @property
    def qualities(self) -> list[int]:
        """The quality of each item, in the order they were shown."""
        return [one.value for one in self.read if one.scale == QUALITY]

    @property
    def levels(self) -> int:
        """How far the marks for quality go: 7 where they were given here."""
        return next(one.levels for one in self.read if one.scale == QUALITY)
