"""The flags that hold for one answer."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from alignment.kinds.settings.flags import FLAGS, FlagName


def _in_order(flags: list[FlagName]) -> list[FlagName]:
    """Each once, in the order in which they are offered."""
    if "any" in flags:
        raise ValueError("that is no flag by itself")
    return [name for name in FLAGS if name in flags]


class Answer(BaseModel):
    """Some flags, or, said by itself, that none of them holds."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="forbid")

    holds: Annotated[list[FlagName], AfterValidator(_in_order)] = []
    none: Literal["", "yes"] = ""

    @model_validator(mode="after")
    def _either(self) -> "Answer":
        if bool(self.holds) == bool(self.none):
            raise ValueError("either some flags hold, or none does")
        return self
