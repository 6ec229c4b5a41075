"""Addresses of webhooks."""

from django.urls import URLPattern, path

from webapp.webhooks import views

app_name = "webhooks"
urlpatterns: list[URLPattern] = [
    path("webhooks/", views.webhooks, name="list"),
    path("webhooks/<row:webhook_id>/", views.webhook, name="detail"),
]
