"""Settings of how completions that people will see are drawn: what is cut of a token's chances, what ends them."""

import re
from collections.abc import Mapping
from copy import copy
from typing import Any, Literal

from pydantic import model_validator

from alignment.seam.settings import ConflictError, Settings, extra_of, setting
from alignment.seam.words import _, said

TokensName = Literal["drawn", "greedy"]
TOKENS: Mapping[TokensName, str] = {
    "drawn": _("Drawn by their chances"),
    "greedy": _("The likeliest alone"),
}
DrawnName = Literal["all", "best"]
DRAWN_ONES: Mapping[DrawnName, str] = {
    "all": _("All"),
    "best": _("The best of several, by a reward model"),
}
DRAWN = {"tokens": ("drawn",)}
BEST = {"kept": ("best",)}
OURS = {"engine": ("sampler", "vllm")}  # whose tokenizer is here
MOST_STOPS = 16  # each is looked for in every completion after every token
PART = re.compile(r"(?:\\.|[^|])+", re.DOTALL)  # of what bars part, but for those behind a \
ESCAPED: Mapping[str, str] = {"n": "\n", "t": "\t", "|": "|", "\\": "\\"}


def stops_in(text: str) -> tuple[str, ...]:
    r"""The strings in a text that parts them by bars; \n, \t, \| and \\ are what they are elsewhere."""
    parts = (part[0] for part in PART.finditer(text))
    read = (re.sub(r"\\(.)", lambda one: ESCAPED.get(one[1], one[0]), part) for part in parts)
    return tuple(dict.fromkeys(read))


class WarpSettings(Settings):
    """What the sampler is beside the model: all of it is part of what was drawn from."""

    temperature: float = setting(
        1.0,
        _("Temperature"),
        help=_("Below 1 the model repeats its favourites; above 1 it wanders."),
        topic=_("New tasks"),
        ge=0.1,
        le=2.0,
        advanced=True,
        when=DRAWN,
    )
    tokens: TokensName = setting(
        "drawn",
        _("Tokens"),
        help=_("The likeliest ones make one completion a prompt, which is the same every time."),
        topic=_("New tasks"),
        advanced=True,
        choices=TOKENS,
    )
    top_k: int = setting(
        0,
        _("Top k"),
        help=_("Draw from so many of the likeliest tokens; 0 draws from all."),
        topic=_("New tasks"),
        unit=_("tokens"),
        ge=0,
        le=1_000_000,
        advanced=True,
        when={**OURS, **DRAWN},
    )
    top_p: float = setting(
        1.0,
        _("Top p"),
        help=_("Draw from the fewest tokens that together have this chance; 1 draws from all."),
        topic=_("New tasks"),
        gt=0,
        le=1,
        advanced=True,
        when=DRAWN,
    )
    min_p: float = setting(
        0.0,
        _("Min p"),
        help=_(
            "Draw from tokens with at least this share of the likeliest one's chance; 0 draws from all."
        ),
        topic=_("New tasks"),
        ge=0,
        le=1,
        advanced=True,
        when={**OURS, **DRAWN},
    )
    repetition_penalty: float = setting(
        1.0,
        _("Repetition penalty"),
        help=_(
            "Tokens that prompt or completion hold already become less likely above 1, likelier below; 1 leaves them."
        ),
        topic=_("New tasks"),
        ge=0.1,
        le=10,
        advanced=True,
        when=OURS,
    )
    stop_strings: str = setting(
        "",
        _("Stop strings"),
        help=_(
            r"A completion ends before the first of these that it would hold, parted by bars: |. "
            r"\n is a line break, \| a bar."
        ),
        topic=_("New tasks"),
        max_length=500,
        advanced=True,
    )

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.tokens == "greedy"

    @property
    def stops(self) -> tuple[str, ...]:
        """What ends a completion that holds it."""
        return stops_in(self.stop_strings)

    @model_validator(mode="after")
    def _stops_can_be_found(self) -> "WarpSettings":
        if self.stop_strings and not 0 < len(self.stops) <= MOST_STOPS:
            words = _("write 1 to {most} strings, parted by bars")
            raise ConflictError("stop_strings", said(words, most=MOST_STOPS))
        return self


class DrawingSettings(WarpSettings):
    """The same, and which of the completions are kept."""

    kept: DrawnName = setting(
        "all",
        _("Completions kept"),
        help=_("All that are drawn, or of several the one that a reward model likes best."),
        topic=_("New tasks"),
        advanced=True,
        choices=DRAWN_ONES,
    )
    best_of: int = setting(
        4,
        _("Drawn for each one kept"),
        help=_("The best of n is at most log n - (n - 1)/n nats from the sampler."),
        topic=_("New tasks"),
        unit=_("completions"),
        ge=2,
        le=256,
        advanced=True,
        when=BEST,
    )

    @property
    def drawn_for_each(self) -> int:
        """Completions that are drawn for each one that is kept."""
        return self.best_of if self.kept == "best" else 1

    @model_validator(mode="after")
    def _there_is_a_best(self) -> "DrawingSettings":
        if self.greedy and self.kept == "best":
            words = _("the likeliest tokens are the same completion every time: keep all")
            raise ConflictError("kept", said(words))
        return self


def in_topic(name: str) -> Any:  # noqa: ANN401 - as `setting`
    """A setting of the sampler as an evaluation has it, among those of what is deployed."""
    field = copy(WarpSettings.model_fields[name])
    extra = extra_of(field)
    when = {choice: values for choice, values in extra["when"].items() if choice != "engine"}
    plain: dict[str, Any] = {**extra, "topic": _("Deployment"), "when": when}
    field.json_schema_extra = plain
    return field


class ServedSettings(WarpSettings):
    """How a policy will be served, where it is measured so too."""

    temperature: float = in_topic("temperature")
    tokens: TokensName = in_topic("tokens")
    top_k: int = in_topic("top_k")
    top_p: float = in_topic("top_p")
    min_p: float = in_topic("min_p")
    repetition_penalty: float = in_topic("repetition_penalty")
    stop_strings: str = in_topic("stop_strings")

    @property
    def served(self) -> bool:
        """Whether it will be served in another way than it was trained."""
        fields = WarpSettings.model_fields
        return any(getattr(self, name) != field.default for name, field in fields.items())
