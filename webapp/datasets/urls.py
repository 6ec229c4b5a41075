"""Addresses of datasets."""

from django.urls import URLPattern, path

from webapp.datasets import views
from webapp.datasets.corpora.views import corpora
from webapp.datasets.texts.views import texts

app_name = "datasets"
urlpatterns: list[URLPattern] = [
    path("snapshots/", views.index, name="snapshots"),
    path("snapshots/<row:snapshot_id>/", views.detail, name="snapshot"),
    path("snapshots/<row:snapshot_id>/changes/", views.show_changes, name="changes"),
    path("import/", views.import_, name="import"),
    path("import/<row:job_id>/confirm/", views.confirm, name="confirm"),
    path("export/", views.export, name="export"),
    path("corpora/", corpora, name="corpora"),
    path("texts/", texts, name="texts"),
]
