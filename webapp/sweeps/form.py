"""The form of a sweep: that of a run of its kind, and what is varied, how and towards what."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import ValidationError

from alignment.kinds.kind import Kind
from alignment.seam.settings import Settings
from webapp.launch.form import StartForm
from webapp.site.fields import (
    DrawnChoice,
    DrawnField,
    Topic,
    add_errors,
    drawn,
    drawn_fields,
    values_of,
)
from webapp.sweeps.config import BETTER, EARLY, SearchConfig
from webapp.sweeps.objectives import CURVE, Objective, objectives_of
from webapp.sweeps.space import (
    Dimension,
    SpaceError,
    grid_points,
    grid_size,
    is_listed,
    parse_dimension,
    varied,
)

ROWS = 4  # settings that one sweep varies, at most
SEARCH = "search"  # the section of the fields that say how it searches
TRIED = 200  # combinations that are looked at before anything starts
CROSSVALIDATED = "_crossvalidated"


class SweepForm(StartForm):
    """A run of some kind again and again; its name is the sweep's."""

    objective = forms.ChoiceField(
        label=gettext_lazy("Search for"),
        help_text=gettext_lazy("A result of each run, or the last point of one of its curves."),
    )
    better = forms.ChoiceField(
        label=gettext_lazy("Better is"),
        choices=[("", gettext_lazy("choose")), *BETTER.items()],
    )
    watched = DrawnChoice(
        label=gettext_lazy("Compare at rungs by"),
        required=False,
        help_text=gettext_lazy("The curve that is compared while runs are at work."),
    )

    def __init__(self, *args: Any, kind: Kind, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's forms
        super().__init__(*args, kind=kind, **kwargs)
        self.fields |= drawn_fields(SEARCH, SearchConfig())
        self.fields |= dict(row for number in range(ROWS) for row in _row(kind, number))
        offered = [(name, _(title)) for name, title in objectives_of(kind)]
        _choose(self, "objective", [("", _("choose")), *offered])
        _choose(self, "watched", [("", _("what is searched for")), *_curves(kind)])
        drawn(self, "watched").asked = {
            f"{SEARCH}-{name}": values for name, values in EARLY.items()
        }
        self.combinations, self.refused = 0, ""

    def clean(self) -> dict[str, Any]:
        """Let the run's own form judge what is not varied, then read the rest."""
        super().clean()
        if self.errors:
            return self.cleaned_data
        self.space = tuple(self._dimensions())
        try:
            self.search = SearchConfig.model_validate(values_of(self, SEARCH))
        except ValidationError as error:
            add_errors(self, error, section=SEARCH)
        self.sought = self._sought()
        if not self.errors:
            self._check_together()
        return self.cleaned_data

    def _dimensions(self) -> Iterator[Dimension]:
        """What is varied; a row that cannot be read is told beside it."""
        settings, seen = varied(self.kind), set[str]()
        for number in range(ROWS):
            name, text = (
                self.cleaned_data.get(f"{part}_{number}", "") for part in ("vary", "values")
            )
            if not name:
                if text or not number:
                    self.add_error(f"vary_{number}", _("Choose a setting."))
                continue
            try:
                found = parse_dimension(name, settings[name], text)
            except SpaceError as refusal:
                self.add_error(f"values_{number}", str(refusal))
                continue
            if name in seen:
                self.add_error(f"vary_{number}", _("This setting is varied already."))
            seen.add(name)
            yield found

    def _sought(self) -> Objective:
        source, _colon, key = self.cleaned_data["objective"].partition(":")
        watched, _colon, way = self.cleaned_data["watched"].rpartition(":")
        better = self.cleaned_data["better"]
        if not watched and source == CURVE:
            watched, way = key, better
        if self.cleaned_data.get("search-method") in EARLY["method"] and not watched:
            self.add_error("watched", _("This number comes at a run's end: choose a curve."))
        if key.endswith(CROSSVALIDATED) and not self._folds():
            self.add_error(
                "objective", _("Set “Folds” to 2 or more: each run is then crossvalidated.")
            )
        return Objective(
            source=source, key=key, better=better, watched=watched, watched_better=way or "smaller"
        )

    def _folds(self) -> bool:
        """Whether runs are crossvalidated, all or some of them."""
        return bool(getattr(self.config, "folds", 0)) or any(
            one.name == "folds" for one in self.space
        )

    def _check_together(self) -> None:
        """Refuse what goes together nowhere; keep in mind how often it does not."""
        configs: list[Settings] = []
        for values in islice(grid_points(self.space), TRIED):
            try:
                tried = {**self.config.model_dump(), **values}
                configs.append(self.kind.settings.model_validate(tried))
            except ValidationError as error:
                self.refused = error.errors()[0]["msg"].removeprefix("Value error, ")
        self.combinations = len(configs)
        read = {one.role: one for config in configs for one in self.kind.artifacts_read(config)}
        self.inputs = self.given(read.values())
        if not self.combinations:
            self.add_error(None, _("None of these goes together: {why}.").format(why=self.refused))

    @property
    def most(self) -> int:
        """How many trials there will be at most."""
        listed = is_listed(self.search.method, self.space)
        return min(self.search.trials, grid_size(self.space)) if listed else self.search.trials

    def topics(self) -> list[Topic]:
        """The run's settings by topic; how to search stands apart."""
        return [topic for topic in super().topics() if topic.title != SEARCH_TOPIC]

    def searching(self) -> list[forms.BoundField]:
        """The fields that say how to search."""
        return [self[name] for name in self.fields if name.startswith(f"{SEARCH}-")]

    def rows(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        """What is varied: a setting, and its values."""
        return [(self[f"vary_{number}"], self[f"values_{number}"]) for number in range(ROWS)]


SEARCH_TOPIC = "Search"


def _row(kind: Kind, number: int) -> Iterator[tuple[str, forms.Field]]:
    """The two fields of one setting that is varied."""
    choices = [(name, _(info.title or name)) for name, info in varied(kind).items()]
    yield (
        f"vary_{number}",
        forms.ChoiceField(
            label=_("Setting {n}").format(n=number + 1),
            choices=[("", _("none")), *sorted(choices, key=lambda one: one[1])],
            required=False,
        ),
    )
    yield (
        f"values_{number}",
        forms.CharField(label=_("Its values"), max_length=1000, required=False),
    )


def _curves(kind: Kind) -> list[tuple[str, str]]:
    """Each curve twice: the larger or the smaller may be better."""
    return [
        (f"{one.key}:{way}", f"{_(one.title)}: {_(words).lower()}")
        for one in kind.curves
        for way, words in BETTER.items()
    ]


def _choose(form: forms.Form, name: str, choices: list[tuple[str, str]]) -> None:
    field = form.fields[name]
    if isinstance(field, forms.ChoiceField):
        field.choices = choices


def carried(form: StartForm, sent: QueryDict) -> Mapping[str, object]:
    """What somebody had filled in in a run's form, for the same fields of another one; its key stays its own."""
    found: dict[str, object] = {}
    for name, field in form.fields.items():
        hidden = isinstance(field, DrawnField) and field.asked and name not in sent
        lacking = field.widget.value_omitted_from_data(sent, {}, name)
        if name != "key" and not hidden and not lacking:
            found[name] = field.widget.value_from_datadict(sent, {}, name)
    return found
