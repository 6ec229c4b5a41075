"""Settings of the toy kind."""

from typing import Literal

from alignment.seam.settings import Settings, setting


class GaugeConfig(Settings):
    """How answers are scored."""

    batch: int = setting(
        2, "Batch", help="Answers that are read at once.", topic="Scoring", ge=1, le=64
    )
    keep: Literal["scores", "features"] = setting(
        "features",
        "What is kept",
        help="Scores alone, or what the head reads as well.",
        topic="Scoring",
        choices={"scores": "Scores alone", "features": "Scores and features"},
    )
