"""The app of stored artifacts."""

from django.apps import AppConfig


class ArtifactsConfig(AppConfig):
    """Its tables are called as when it was one with the pages of models: databases of before stay valid."""

    name = "webapp.artifacts"
    label = "registry"
