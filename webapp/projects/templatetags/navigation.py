"""The links to projects, and to the parts of one by what a person may use of it."""

from typing import NamedTuple

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop

from webapp.projects.models import Project
from webapp.site.templatetags.attributes import here_is

register = template.Library()
MOST = 50  # projects that are listed on every page


class Part(NamedTuple):
    """A part of a project: its first page, and how the names of all its pages begin."""

    title: str
    view: str
    pages: tuple[str, ...]
    asks: str = ""  # what the context says of who may see it


class Link(NamedTuple):
    """A link as it is drawn; `current` is of the part that is open."""

    title: str
    url: str
    current: str


DATA = (
    *("labeling:labels", "labeling:tasks", "labeling:questions"),
    *("quality:", "datasets:", "jobs:"),
)
PARTS = (
    Part(gettext_noop("Home"), "project", ("project",)),
    Part(gettext_noop("Label"), "labeling:label", ("labeling:label",)),
    Part(gettext_noop("Prompts"), "prompts", ("prompts", "needed")),
    Part(gettext_noop("Data"), "labeling:labels", DATA, "is_researcher"),
    Part(gettext_noop("Rounds"), "rounds:list", ("rounds:",), "is_researcher"),
    Part(gettext_noop("Models"), "registry:models", ("registry:",), "is_researcher"),
    Part(gettext_noop("Runs"), "runs:list", ("runs:", "sweeps:"), "is_researcher"),
    Part(gettext_noop("Members"), "members", ("members", "audit", "webhooks:"), "is_admin"),
)


@register.simple_tag(takes_context=True)
def project_links(context: Context) -> SafeString:
    """Links to the first of the reader's projects, as items of a list: every page has them."""
    here = context["nav_project"].pk
    mine = Project.objects.current().visible_to(context["request"].user)
    links = (
        (reverse("project", args=[key]), here_is(key, here, "true"), name)
        for key, name in mine.values_list("pk", "name")[:MOST]
    )
    return format_html_join("", '<li><a href="{}"{}>{}</a></li>', links)


@register.simple_tag(takes_context=True)
def part_links(context: Context) -> list[Link]:
    """Links to the parts of the project that its reader may use."""
    match = context["request"].resolver_match
    here = match.view_name if match else ""
    args = [context["nav_project"].pk]
    return [
        Link(
            gettext(part.title), reverse(part.view, args=args), "page" if opens(part, here) else ""
        )
        for part in PARTS
        if not part.asks or context.get(part.asks)
    ]


def opens(part: Part, here: str) -> bool:
    """Whether a page, by its name, is of this part."""
    return any(here.startswith(name) if name.endswith(":") else here == name for name in part.pages)
