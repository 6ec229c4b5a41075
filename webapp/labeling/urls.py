"""Addresses of labeling."""

from django.urls import URLPattern, path

from webapp.labeling import views

app_name = "labeling"
urlpatterns: list[URLPattern] = [
    path("label/", views.label, name="label"),
    path("tasks/", views.tasks, name="tasks"),
    path("labels/", views.labels, name="labels"),
]
