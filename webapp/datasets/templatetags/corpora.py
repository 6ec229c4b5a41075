"""Where a stored file leads: the form of a run that learns it as it was looked at."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django import template

from webapp.datasets.texts.jobs import HOW as READ_BY

register = template.Library()
HOW = ("document", "column")  # settings of a run that a corpus was looked at by


@register.simple_tag
def learning_query(corpus: int, how: Mapping[str, Any]) -> str:
    """The end of the start form's address for a corpus."""
    chosen = {f"pretrain-{name}": how[name] for name in HOW if name in how}
    return "?" + urlencode(
        {"kind": "pretrain", "pretrain-source": "file", "corpus": corpus} | chosen
    )


@register.simple_tag
def classifying_query(texts: int, how: Mapping[str, Any]) -> str:
    """The end of the start form's address for texts with classes."""
    chosen = {f"classify-{name}": how[name] for name in READ_BY if how.get(name)}
    return "?" + urlencode({"kind": "classify", "classify-source": "file", "texts": texts} | chosen)
