"""The pages of the audit log: a project's for its admins, the installation's for superusers; and both as a file."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from webapp.accounts.requests import PersonRequest
from webapp.audit.forms import AuditFilter, entries_of
from webapp.audit.models import AuditEntry, EntryQuerySet
from webapp.projects.access import Action, project_for
from webapp.projects.models import Project
from webapp.site.choices import found_for
from webapp.site.htmx import render_page
from webapp.site.pages import page_of
from webapp.site.sheets import sheet_of

AT_ONCE = 500  # rows of a file that are read together
COLUMNS = ("id", "at", "project", "person", "via", "token", "act", "thing", "number", "facts")
# The page that shows the row of a thing, by the name of its key in the address.
SHOWN_AT = {
    "job": ("jobs:detail", "job_id"),
    "round": ("rounds:detail", "round_id"),
    "run": ("runs:detail", "run_id"),
    "snapshot": ("datasets:snapshot", "snapshot_id"),
    "sweep": ("sweeps:detail", "sweep_id"),
}


class ShownEntry(NamedTuple):
    """A row as the page shows it."""

    row: AuditEntry
    url: str  # of what it is about; none where no page shows that
    facts: list[tuple[str, object]]


@login_required
@require_safe
def audit_log(request: PersonRequest, project_id: int | None = None) -> HttpResponse:
    """The newest rows, narrowed by what is asked for."""
    project, form = _asked(request, project_id)
    if (sought := found_for(request, form)) is not None:
        return sought
    page = page_of(form.found(), request.GET, "-pk")
    context = {
        "project": project,
        "form": form,
        "page": page,
        "rows": [_shown(row) for row in page],
        "download": _address_of_file(project_id, page.kept),
    }
    return render_page(request, "projects/audit.html", context, partial="rows")


@login_required
@require_safe
def audit_file(request: PersonRequest, project_id: int | None = None) -> StreamingHttpResponse:
    """All rows that are asked for, as CSV."""
    _project, form = _asked(request, project_id)
    return sheet_of("audit.csv", COLUMNS, _parts(form.found()))


def _address_of_file(project_id: int | None, kept: str) -> str:
    """Where the same rows are a file."""
    name, args = ("audit_file", [project_id]) if project_id else ("audit_file_of_all", [])
    return f"{reverse(name, args=args)}?{kept}"


def _asked(request: PersonRequest, project_id: int | None) -> tuple[Project | None, AuditFilter]:
    """The project, if the reader may see its log, and what they look for."""
    project = None
    if project_id is not None:
        project = project_for(request.user, project_id, can=Action.SEE_AUDIT)
    elif not request.user.is_superuser:
        raise Http404
    return project, AuditFilter(request.GET, rows=entries_of(project_id))


def _shown(row: AuditEntry) -> ShownEntry:
    name, key = SHOWN_AT.get(row.thing, ("", ""))
    url = ""
    if name and row.project_id and row.number:
        url = reverse(name, kwargs={"project_id": row.project_id, key: row.number})
    return ShownEntry(row, url, sorted(row.facts.items()))


def _parts(rows: EntryQuerySet) -> Iterator[list[Sequence[object]]]:
    """The rows of the file, newest first; each part begins after the one before."""
    rest = rows.order_by("-pk")
    while some := list(rest[:AT_ONCE]):
        yield [_line(row) for row in some]
        rest = rows.filter(pk__lt=some[-1].pk).order_by("-pk")


def _line(row: AuditEntry) -> Sequence[object]:
    person = row.person.username if row.person else ""
    facts = "; ".join(f"{name}: {value}" for name, value in sorted(row.facts.items()))
    at = row.created_at.isoformat(timespec="seconds")
    about = (row.act, row.thing, row.number, facts)
    return (row.pk, at, row.project_id, person, row.via, row.token, *about)
