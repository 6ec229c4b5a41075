"""Addresses of accounts."""

from django.urls import URLPattern, path

from webapp.accounts import views

app_name = "accounts"
urlpatterns: list[URLPattern] = [path("setup/<str:token>/", views.setup, name="setup")]
