"""Where the loop goes on, for pages that are still empty."""

from django import template

from webapp.home.queries import Step, facts, next_step
from webapp.projects.models import Project

register = template.Library()


@register.simple_tag
def loop_step(project: Project) -> Step:
    """The one thing to do next in a project: the same on every page."""
    return next_step(project, facts(project))
