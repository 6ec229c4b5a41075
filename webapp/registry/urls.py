"""Addresses of registry."""

from django.urls import URLPattern, path

from webapp.registry import code_pages, views

app_name = "registry"
urlpatterns: list[URLPattern] = [
    path("models/", views.index, name="models"),
    path("models/add/", views.add, name="add"),
    path("models/code/", code_pages.codes, name="code"),
    path("models/code/<row:artifact_id>/", code_pages.source, name="source"),
    path("models/upload/", views.upload, name="upload"),
    path("models/<row:artifact_id>/", views.detail, name="model"),
    path("models/<row:artifact_id>/adapter/", views.adapter, name="adapter"),
    path("models/<row:artifact_id>/smaller/", views.smaller, name="smaller"),
]
