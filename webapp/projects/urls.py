"""Addresses of home, projects and prompts."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
