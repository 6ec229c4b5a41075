"""What the toy kind reports."""

from alignment.seam.records import Estimate
from alignment.seam.results import Results, result


class GaugeResults(Results):
    """Of all answers."""

    score: Estimate | None = result("Mean score", meaning="Of all answers.")
    answers: int | None = result("Answers scored")
    kept: str | None = result("Kept", words={"features": "Scores and features"})
