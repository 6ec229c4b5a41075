"""What a sweep will do if its form is sent as it is, in sentences."""

from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from alignment.kinds.kind import Kind
from webapp.launch.forecast import how_long, where
from webapp.results.words import setting_in_words
from webapp.sweeps.config import METHODS
from webapp.sweeps.form import SweepForm
from webapp.sweeps.space import Dimension


def sweep_outlook(form: SweepForm) -> list[str]:
    """The sentences of a form as it is filled in."""
    if not form.is_bound:
        return [_("Choose the settings to vary, and what to search for.")]
    if not form.is_valid():
        return [_("Something has to be mended or chosen before the sweep can start.")]
    return list(_sentences(form))


def _sentences(form: SweepForm) -> Iterator[str]:
    space = "; ".join(dimension_in_words(form.kind, one) for one in form.space)
    yield _("{trials} of “{kind}”, {once} at once, by {method}: {space}.").format(
        trials=ngettext("{n} trial", "{n} trials", form.most).format(n=form.most),
        kind=_(form.kind.title),
        once=form.search.at_once,
        method=_(METHODS[form.search.method]),
        space=space,
    )
    if form.refused:
        yield _("Some of it does not go together and is passed over: {why}.").format(
            why=form.refused
        )
    yield f"{how_long(form.ground.done(form.kind))} {where()}"


def dimension_in_words(kind: Kind, one: Dimension) -> str:
    """What is varied of a setting."""
    field = kind.settings.model_fields.get(one.name)
    title = _(field.title or one.name) if field else one.name
    if not one.is_range:
        values = ", ".join(setting_in_words(value, field) for value in one.values)
        return _("{setting} of {values}").format(setting=title, values=values)
    words = _("{setting} from {low} to {high}")
    if one.log:
        words = _("{setting} from {low} to {high} by its logarithm")
    return words.format(setting=title, low=f"{one.low:g}", high=f"{one.high:g}")
