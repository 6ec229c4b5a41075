"""Choices among the rows of a table: all of them, or of very many the first and those found by name."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django import forms
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.choices import BaseChoiceIterator

from webapp.site.htmx import HtmxRequest, is_key

MOST = 50  # that are listed
LONGEST = 100  # characters that are looked for
FIND = "find-"  # begins the names of what is looked for, by field

if TYPE_CHECKING:
    RowChoice = forms.ModelChoiceField[Any]  # generic in its stubs only
else:
    RowChoice = forms.ModelChoiceField


class FoundChoice(RowChoice):
    """A choice among rows: any is taken, but no more are listed than somebody looks through."""

    rows: QuerySet[Any]
    sought = ""
    chosen: object = None
    twin: "FoundChoice | None" = None  # that lists the same rows

    def __init__(
        self,
        *args: Any,  # noqa: ANN401
        by: str = "name",
        shown: tuple[str, ...] = (),
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **options)
        self.by = by  # the column that is looked through
        self.shown = shown  # the columns that a row's words need; without any, all are read

    def offer(self, rows: QuerySet[Any], sought: str, chosen: object) -> None:
        """List these rows, or of very many those with these words; what is chosen stays among them."""
        self.queryset = self.rows = rows
        self.sought, self.chosen = sought, chosen
        self.choices = Offered(self)

    def share(self, twin: "FoundChoice") -> None:
        """List what another field lists of the same rows."""
        self.twin = twin if twin.sought == self.sought else None

    @cached_property
    def listed(self) -> list[Any]:
        """The rows that are listed, and one more where there are more; looked up when they are shown."""
        if self.twin:
            return self.twin.listed
        named = {f"{self.by}__icontains": self.sought} if self.sought else {}
        return list(self.brief(self.rows.filter(**named))[: MOST + 1])

    @cached_property
    def in_words(self) -> list[tuple[object, str]]:
        """The rows that are listed, as choices."""
        return self.twin.in_words if self.twin else list(map(self._in_words, self.listed[:MOST]))

    def _in_words(self, row: Any) -> tuple[object, str]:  # noqa: ANN401
        return self.prepare_value(row), self.label_from_instance(row)

    def brief(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The same rows with no more than their words need."""
        return rows.select_related(None).only(*self.shown) if self.shown else rows

    @property
    def is_long(self) -> bool:
        """Whether somebody has to look for what is not listed."""
        return bool(self.sought) or len(self.listed) > MOST

    @cached_property
    def chosen_apart(self) -> list[tuple[object, str]]:
        """What is chosen, where it is not listed anyway."""
        key = self.chosen.pk if isinstance(self.chosen, Model) else self.chosen
        if not is_key(str(key)) or int(str(key)) in [row.pk for row in self.listed[:MOST]]:
            return []
        return list(map(self._in_words, self.brief(self.rows.filter(pk=key))))


class Offered(BaseChoiceIterator):
    """The choices of a field as they are listed, of which Django has nothing to make even."""

    def __init__(self, field: FoundChoice) -> None:
        self.field = field

    def __iter__(self) -> Iterator[tuple[object, str]]:
        """What stands for none, the rows that are listed, and the chosen one."""
        if self.field.empty_label is not None:
            yield "", str(self.field.empty_label)
        yield from self.field.in_words
        yield from self.field.chosen_apart


def share_rows(form: forms.Form, names: Iterable[str]) -> None:
    """Let fields that choose among the same rows look them up once; what is looked for may differ."""
    first, *others = [form.fields[name] for name in names]
    for field in others:
        if isinstance(first, FoundChoice) and isinstance(field, FoundChoice):
            field.share(first)


def offer_found(form: forms.Form, name: str, rows: QuerySet[Any]) -> None:
    """Let a field choose among rows, by what its form was asked for; raises TypeError for another field."""
    field = form.fields[name]
    if not isinstance(field, FoundChoice):
        raise TypeError(f"“{name}” finds no rows.")
    sought = form.data.get(f"{FIND}{name}") or form.initial.get(f"{FIND}{name}", "")
    chosen = form.data.get(name) if form.is_bound else form.initial.get(name)
    field.offer(rows, str(sought).replace("\0", "").strip()[:LONGEST], chosen)


def sought_in(query: Mapping[str, str]) -> dict[str, str]:
    """What an address looks for, as a form's initial values."""
    return {name: query[name] for name in query if name.startswith(FIND)}


def found_for(request: HtmxRequest, form: forms.Form) -> HttpResponse | None:
    """The one field that htmx asks for while somebody types what to look for."""
    for bound in form:
        if request.method == "GET" and request.htmx.target == bound.auto_id:
            response = HttpResponse(str(bound))
            patch_vary_headers(response, ["HX-Request", "HX-Target"])
            return response
    return None
