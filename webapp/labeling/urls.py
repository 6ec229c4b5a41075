"""Addresses of labeling."""

from django.urls import URLPattern, path

from webapp.labeling import composing, conversing, question_pages, views, warning_pages

app_name = "labeling"
urlpatterns: list[URLPattern] = [
    path("label/", views.label, name="label"),
    path("label/keys/", views.keys, name="keys"),
    path("label/draft/", views.draft, name="draft"),
    path("label/conversation/", conversing.conversation, name="conversation"),
    path("label/finished/", views.finished, name="finished"),
    path("label/ask/", question_pages.ask, name="ask"),
    path("questions/", question_pages.questions, name="questions"),
    path("questions/<row:question_id>/", question_pages.answer, name="answer_question"),
    path("label/warnings/", warning_pages.warnings, name="warnings"),
    path("label/warnings/tags/", warning_pages.name_warnings, name="name_warnings"),
    path("form/", composing.compose, name="form"),
    path("tasks/", views.tasks, name="tasks"),
    path("tasks/new/", views.make, name="make"),
    path("tasks/bands/", views.move_tasks, name="bands"),
    path("tasks/dispatch/", views.dispatch_tasks, name="dispatch"),
    path("labels/", views.labels, name="labels"),
]
