"""Settings of runs that answer prompts."""

from collections.abc import Mapping
from typing import Literal

from pydantic import ValidationInfo, model_validator

from alignment.kinds.settings.drawing import OURS, DrawingSettings
from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.kinds.settings.placement import READ_ON, PlacementName, placed
from alignment.seam.settings import STORED, ConflictError, Settings, setting
from alignment.seam.words import _, said

EngineName = Literal["sampler", "vllm", "server"]
ENGINES: Mapping[EngineName, str] = {
    "sampler": _("Our sampler"),
    "vllm": _("vLLM"),
    "server": _("A server"),
}
TaskName = Literal["compare", "rank", "rate", "thumbs", "flags", "edit"]
TASKS: Mapping[TaskName, str] = {
    "compare": _("Pairs to compare"),
    "rank": _("Answers to rank"),
    "rate": _("Answers to rate"),
    "thumbs": _("Answers to like or not"),
    "flags": _("Answers to flag"),
    "edit": _("Answers to edit"),
}
FEWEST: Mapping[str, int] = {"compare": 2, "rank": 3}  # completions that a task is about
FEW = {
    2: _("a pair needs two completions or more"),
    3: _("an order needs three completions or more"),
}
SERVED = {"engine": ("server",)}
SAMPLED = {"engine": ("sampler",)}  # vLLM spreads models by itself
SECRETIVE = frozenset("@?#")  # before or behind these an address may hold a secret


class TaskSettings(Settings):
    """How many completions, and what people are asked about them."""

    prompts: int = setting(
        256,
        _("Prompts"),
        help=_("How many prompts to answer."),
        topic=_("New tasks"),
        unit=_("prompts"),
        ge=1,
        le=100_000,
    )
    completions_per_prompt: int = setting(
        2,
        _("Completions per prompt"),
        help=_("Each prompt's completions become tasks, such as pairs to compare."),
        topic=_("New tasks"),
        unit=_("completions"),
        ge=1,
        le=64,
    )
    task: TaskName = setting(
        "compare",
        _("Tasks"),
        help=_("What people are asked about the completions of a prompt."),
        topic=_("New tasks"),
        choices=TASKS,
        dashboard=True,
    )
    labels_per_task: int = setting(
        1,
        _("Labels per task"),
        help=_("How many different annotators answer each task."),
        topic=_("New tasks"),
        unit=_("labels"),
        ge=1,
        le=9,
        dashboard=True,
    )
    max_new_tokens: int = setting(
        48,
        _("Completion length limit"),
        help=_("A completion that reaches the limit is cut there."),
        topic=_("New tasks"),
        unit=_("tokens"),
        ge=1,
        le=4096,
    )


# In this order, from the last: what is asked, how it is drawn, who draws it.
class GenerateConfig(DrawingSettings, TaskSettings):
    """Completions of a policy for prompts; in the dashboard they become tasks."""

    engine: EngineName = setting(
        "sampler",
        _("Engine"),
        help=_(
            "Who draws the completions: our sampler, vLLM where it is installed, or a server that "
            "speaks OpenAI's protocol, with a model of its own."
        ),
        topic=_("New tasks"),
        advanced=True,
        choices=ENGINES,
    )
    overlong: OverlongName = overlong(_("New tasks"), OURS)
    placement: PlacementName = placed(READ_ON, when=SAMPLED)
    server_url: str = setting(
        "",
        _("Address of the server"),
        help=_("With its path, as in https://host:8000/v1; an admin allows hosts."),
        topic=_("New tasks"),
        max_length=500,
        advanced=True,
        when=SERVED,
    )
    server_model: str = setting(
        "",
        _("Model of the server"),
        help=_("How the server calls it."),
        topic=_("New tasks"),
        max_length=200,
        advanced=True,
        when=SERVED,
    )

    @property
    def drawn(self) -> int:
        """Completions that are drawn of each prompt."""
        return self.completions_per_prompt * self.drawn_for_each

    @model_validator(mode="after")
    def _enough_to_ask_about(self, info: ValidationInfo) -> "GenerateConfig":
        if self.greedy and self.completions_per_prompt > 1:
            words = _("the likeliest tokens are the same completion every time: ask for one")
            raise ConflictError("completions_per_prompt", said(words))
        # A program that makes no tasks says nothing of them, and what is stored says all.
        asked = "task" in self.model_fields_set and info.context != STORED
        needed = FEWEST.get(self.task, 1) if asked else 1
        if self.completions_per_prompt < needed:
            words = FEW[needed]
            raise ConflictError("completions_per_prompt", said(words))
        return self

    @model_validator(mode="after")
    def _a_server_has_an_address(self) -> "GenerateConfig":
        if set(self.server_url) & SECRETIVE:
            raise ConflictError(
                "server_url",
                said(
                    _(
                        "an address without a name, password or key: an admin gives the key to the worker"
                    )
                ),
            )
        for name in ("server_url", "server_model"):
            if self.engine == "server" and not getattr(self, name).strip():
                raise ConflictError(
                    name, said(_("a server needs an address and the name of a model"))
                )
        return self
