"""What the descent reports."""

from alignment.seam.records import Estimate
from alignment.seam.results import Results, result


class DescendResults(Results):
    """Where it ended."""

    depth: Estimate | None = result("Depth", meaning="Where it ended.")
    words: str | None = result("In words")
