"""Addresses of runs."""

from django.urls import URLPattern, path

from webapp.launch import views as launch
from webapp.results import views as results
from webapp.runs import views

app_name = "runs"
urlpatterns: list[URLPattern] = [
    path("runs/", views.index, name="list"),
    path("runs/new/", launch.choose, name="choose"),
    path("runs/start/", launch.start, name="start"),
    path("runs/<row:run_id>/", results.detail, name="detail"),
    path("runs/<row:run_id>/metrics/", results.metrics, name="metrics"),
    path("runs/<row:run_id>/metrics.csv", results.metrics_csv, name="metrics_csv"),
    path("runs/<row:run_id>/log/", results.log, name="log"),
    path("runs/<row:run_id>/evaluated/", results.evaluated, name="evaluated"),
    path("runs/<row:run_id>/<str:action>/", results.act, name="act"),
]
