"""Addresses of erasing."""

from django.urls import URLPattern, path

from webapp.erasure import views

app_name = "erasure"
urlpatterns: list[URLPattern] = [
    path("erasures/", views.erasures, name="erasures"),
    path("snapshots/<row:snapshot_id>/remove/", views.remove_snapshot_file, name="remove"),
]
