"""Addresses of rounds."""

from django.urls import URLPattern, path

from webapp.rounds import views

app_name = "rounds"
urlpatterns: list[URLPattern] = [
    path("rounds/", views.index, name="list"),
    path("rounds/compare/", views.compare, name="compare"),
    path("rounds/new/", views.launch, name="launch"),
    path("rounds/<row:round_id>/", views.detail, name="detail"),
    path("rounds/<row:round_id>/cancel/", views.cancel, name="cancel"),
    path("rounds/<row:round_id>/retry/", views.retry, name="retry"),
]
