"""Addresses of labeling."""

from django.urls import URLPattern, path

from webapp.labeling import composing, conversing, views

app_name = "labeling"
urlpatterns: list[URLPattern] = [
    path("label/", views.label, name="label"),
    path("label/keys/", views.keys, name="keys"),
    path("label/draft/", views.draft, name="draft"),
    path("label/conversation/", conversing.conversation, name="conversation"),
    path("form/", composing.compose, name="form"),
    path("tasks/", views.tasks, name="tasks"),
    path("tasks/new/", views.make, name="make"),
    path("tasks/dispatch/", views.dispatch_tasks, name="dispatch"),
    path("labels/", views.labels, name="labels"),
]
