"""Addresses of the pages that see everything."""

from django.urls import URLPattern, path

from webapp.home import views

urlpatterns: list[URLPattern] = [
    path("", views.home, name="home"),
    path("p/<row:project_id>/", views.project, name="project"),
    path("p/<row:project_id>/advice/", views.advice, name="advice"),
    path("p/<row:project_id>/prompts/", views.prompts, name="prompts"),
]
