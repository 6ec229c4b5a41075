"""Addresses of sweeps."""

from django.urls import URLPattern, path

from webapp.sweeps import views

app_name = "sweeps"
urlpatterns: list[URLPattern] = [
    path("sweeps/", views.index, name="list"),
    path("sweeps/new/", views.launch, name="launch"),
    path("sweeps/<row:sweep_id>/", views.detail, name="detail"),
    path("sweeps/<row:sweep_id>/<str:action>/", views.act, name="act"),
]
