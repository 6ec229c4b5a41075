"""Words that sentences about several kinds of run share."""

from alignment.seam.words import _, said


def times(number: int) -> str:
    """How often, in words where they are shorter."""
    if number <= 2:
        return said((_("once"), _("twice"))[number - 1])
    return said(_("{number} times"), number=number)
