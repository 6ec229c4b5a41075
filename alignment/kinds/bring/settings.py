"""Settings of runs that bring a model into a project."""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from alignment.seam.settings import Settings, setting
from alignment.seam.words import _, said

SourceName = Literal["hub", "folder", "upload"]
SOURCES: Mapping[SourceName, str] = {
    "hub": _("The Hugging Face Hub"),
    "folder": _("An allowed folder"),
    "upload": _("An upload"),
}
TemplateName = Literal["own", "chatml", "plain"]
TEMPLATES: Mapping[TemplateName, str] = {
    "own": _("The model's own"),
    "chatml": _("ChatML"),
    "plain": _("Plain: “User: … Assistant:”"),
}
HUB_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")


class ImportConfig(Settings):
    """Somebody's own model, or a LoRA adapter of a known one: fetched, checked, tried and kept."""

    source: SourceName = setting(
        "folder",
        _("Source"),
        help=_("The Hugging Face Hub, a folder that an admin allows, or an upload."),
        topic=_("Model"),
        choices=SOURCES,
    )
    name: str = setting(
        "",
        _("Name at its source"),
        help=_("Owner and name on the Hub; elsewhere only for people."),
        topic=_("Model"),
        max_length=200,
    )
    revision: str = setting(
        "main",
        _("Revision"),
        help=_("A branch, tag or commit of the Hub; what it stood for is kept as a commit."),
        topic=_("Model"),
        max_length=100,
    )
    template: TemplateName = setting(
        "own",
        _("Chat template"),
        help=_("How a conversation becomes the text that the model reads."),
        topic=_("Model"),
        choices=TEMPLATES,
    )
    limit_gib: float = setting(
        20.0,
        _("Largest size"),
        help=_("A model with larger files is refused."),
        topic=_("Model"),
        unit=_("GiB"),
        gt=0,
        le=10_000,
        advanced=True,
    )

    @model_validator(mode="after")
    def _names_on_the_hub(self) -> "ImportConfig":
        if self.source == "hub" and not HUB_NAME.fullmatch(self.name):
            raise ValueError(
                said(_("“{name}” is not a name on the Hub; write owner/name"), name=self.name)
            )
        if not REVISION.fullmatch(self.revision):
            raise ValueError(said(_("“{revision}” is not a revision"), revision=self.revision))
        return self
