"""Addresses of runs."""

from django.urls import URLPattern, path

from webapp.runs import views

app_name = "runs"
urlpatterns: list[URLPattern] = [
    path("runs/", views.index, name="list"),
    path("runs/new/", views.choose, name="choose"),
    path("runs/start/", views.start, name="start"),
    path("runs/<int:run_id>/", views.detail, name="detail"),
    path("runs/<int:run_id>/metrics/", views.metrics, name="metrics"),
    path("runs/<int:run_id>/metrics.csv", views.metrics_csv, name="metrics_csv"),
    path("runs/<int:run_id>/log/", views.log, name="log"),
    path("runs/<int:run_id>/<str:action>/", views.act, name="act"),
]
