"""Addresses of quality."""

from django.urls import URLPattern, path

from webapp.quality import teaching, views

app_name = "quality"
urlpatterns: list[URLPattern] = [
    path("quality/", views.report, name="report"),
    path("quality/disagreements/", views.disagreements, name="disagreements"),
    path("quality/disagreements/<row:task_id>/", views.disagreement, name="disagreement"),
    path("quality/disagreements/<row:task_id>/check/", views.use_task_as_check, name="check"),
    path("quality/disagreements/<row:task_id>/back/", views.send_back, name="send_back"),
    path("quality/checks/", views.checks, name="checks"),
    path("quality/teaching/", teaching.allocation, name="allocation"),
    path("quality/teaching/<row:artifact_id>/scores/", teaching.download_scores, name="scores"),
    path("quality/disagreements/<row:task_id>/withdraw/", views.undecide, name="withdraw"),
]
