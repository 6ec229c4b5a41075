"""Settings of the descent."""

from typing import Literal

from pydantic import model_validator

from alignment.seam.settings import ConflictError, Settings, setting


class DescendConfig(Settings):
    """Where it goes down, how fast and how long."""

    rate: float = setting(0.1, "Rate", help="Best at 0.1.", topic="Descent", gt=0, le=10)
    side: Literal["left", "right"] = setting(
        "left",
        "Side",
        help="The right one is deeper.",
        topic="Descent",
        choices={"left": "Left", "right": "Right"},
    )
    steps: int = setting(27, "Steps", help="How many.", topic="Descent", ge=1, le=10_000)
    pause: float = setting(0.0, "Pause", help="After each step.", topic="Descent", ge=0, le=1)

    @model_validator(mode="after")
    def _right_is_slow(self) -> "DescendConfig":
        if self.side == "right" and self.rate > 5:
            raise ConflictError("rate", "the right side is too steep for that rate")
        return self
