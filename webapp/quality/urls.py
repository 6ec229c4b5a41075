"""Addresses of quality."""

from django.urls import URLPattern, path

from webapp.quality import views

app_name = "quality"
urlpatterns: list[URLPattern] = [
    path("quality/", views.report, name="report"),
]
