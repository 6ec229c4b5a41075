"""What can be started from an artifact, for pages that show one."""

from django import template

from alignment.seam.architectures import family_in
from webapp.artifacts.models import Artifact
from webapp.launch.offers import Use, uses_of

register = template.Library()


@register.simple_tag
def runs_that_read(artifact: Artifact) -> list[Use]:
    """The runs that this artifact may be given to."""
    return uses_of(artifact)


@register.simple_tag
def encoder_decoder(artifact: Artifact) -> str:
    """The family of a model that is an encoder-decoder; empty of any other."""
    return family_in(artifact.path) if artifact.is_model else ""
