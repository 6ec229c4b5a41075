"""Languages on a page: the words of its scripts, and the others that it can be read in."""

from django import template
from django.conf import settings
from django.utils.html import json_script
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from webapp.site.languages import words_of_scripts

register = template.Library()


@register.simple_tag
def script_words() -> SafeString | str:
    """What scripts say in the reader's language; nothing where that is theirs."""
    words = words_of_scripts(get_language() or settings.LANGUAGE_CODE)
    return json_script(words, "words") if words else ""


@register.simple_tag
def other_languages() -> list[tuple[str, str]]:
    """Code and name of each language but the page's."""
    return [(code, name) for code, name in settings.LANGUAGES if code != get_language()]
