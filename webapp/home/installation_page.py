"""The page of the installation, for superusers: how its parts do, and jobs that are tried again."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.home.installation import installation, versions
from webapp.jobs.errors import JobError
from webapp.jobs.models import Job
from webapp.jobs.services import retry_job
from webapp.site.htmx import render_page


@login_required
@require_safe
def show_installation(request: PersonRequest) -> HttpResponse:
    """How it does; one fragment of it asks again."""
    _must_run_it(request)
    context = {"now": installation(), "versions": [] if request.htmx else versions()}
    return render_page(request, "projects/installation.html", context, partial="live")


@login_required
@require_POST
def try_again(request: PersonRequest, job_id: int) -> HttpResponse:
    """Queue a job that failed once more."""
    _must_run_it(request)
    try:
        retry_job(get_object_or_404(Job, pk=job_id), by=request.user)
    except JobError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("The job is tried again."))
    return redirect("installation")


def _must_run_it(request: PersonRequest) -> None:
    if not request.user.is_superuser:
        raise Http404
