"""Addresses of a project's forms."""

from django.urls import URLPattern, path

from webapp.projects import views

urlpatterns: list[URLPattern] = [
    path("projects/new/", views.new_project, name="new_project"),
    path("p/<row:project_id>/reviews/", views.reviews, name="reviews"),
    path("p/<row:project_id>/guidelines/", views.guidelines, name="guidelines"),
]
