"""Forms of pages filled in by programs, so that both are judged by the same rules."""

from collections.abc import Mapping
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.db.models import Model
from django.http import QueryDict
from django.utils.translation import gettext as _

from webapp.api.errors import FieldsError

Filled = TypeVar("Filled", bound=forms.BaseForm)
OFF = "false"  # as a checkbox's widget reads it


def filled(form_class: type[Filled], given: Mapping[str, Any], **options: Any) -> Filled:  # noqa: ANN401
    """The form with these values, and with its own where none is given. Raises FieldsError where it refuses."""
    blank = form_class(**options)
    if unknown := sorted(set(given) - set(blank.fields)):
        words = _("There is nothing of this name here; there is: {names}.")
        names = ", ".join(blank.fields)
        raise FieldsError(dict.fromkeys(unknown, words.format(names=names)))
    usual = {name: blank.get_initial_for_field(field, name) for name, field in blank.fields.items()}
    form = form_class(sent_as(usual | dict(given)), **options)
    if not form.is_valid():
        raise FieldsError(errors_of(form))
    return form


def sent_as(values: Mapping[str, Any]) -> QueryDict:
    """Values as a browser would send them."""
    data = QueryDict(mutable=True)
    for name, value in values.items():
        data.setlist(name, _texts(value))
    return data


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return ["true" if value else OFF]
    if isinstance(value, list | tuple | set | frozenset):
        return [text for one in value for text in _texts(one)]
    return [str(value.pk if isinstance(value, Model) else value)]


def errors_of(form: forms.BaseForm) -> dict[str, str]:
    """What is wrong, by field; what is wrong with the whole by the name “all”."""
    return {
        "all" if name == NON_FIELD_ERRORS else name: " ".join(map(str, errors))
        for name, errors in form.errors.items()
    }
