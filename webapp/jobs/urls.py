"""Addresses of jobs."""

from django.urls import URLPattern, path

from webapp.jobs import views

app_name = "jobs"
urlpatterns: list[URLPattern] = [
    path("jobs/<row:job_id>/", views.detail, name="detail"),
    path("jobs/<row:job_id>/cancel/", views.cancel, name="cancel"),
    path("jobs/<row:job_id>/file/", views.download, name="download"),
]
