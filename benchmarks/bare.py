"""Addresses of the dashboard, and beside them the barest page that asks who is there."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path

from benchmarks import bare_label
from webapp.projects.models import Membership

PAGE = '{% extends "base.html" %}{% block content %}<h1>{{ here.project }}: {{ here.role }}</h1>{% endblock %}'
handler500 = bare_label.handler500


@login_required
def page(request: HttpRequest, project_id: int) -> HttpResponse:
    """The frame of every page around two words."""
    here = Membership.objects.select_related("project").get(project=project_id, user=request.user)
    return HttpResponse(engines["django"].from_string(PAGE).render({"here": here}, request))


urlpatterns = [path("p/<row:project_id>/bare/", page, name="bare"), *bare_label.urlpatterns]
