"""Addresses of tokens, of the interface, and of what describes it."""

from django.urls import URLPattern, URLResolver, path, re_path

from webapp.api import views
from webapp.api.mcp import mcp
from webapp.api.service import service

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/tokens/", views.tokens, name="tokens"),
    path("api/", views.reference, name="api_reference"),
    path("api/openapi.json", views.schema, name="api_schema"),
    path("api/attune_client.py", views.client, name="api_client"),
    path("mcp", mcp, name="api_mcp"),
    path("api/v1/", service.urls),
    re_path("^api/v1/", views.nothing, name="api_nothing"),
]
