"""Addresses of what people are told."""

from django.urls import URLPattern, path

from webapp.notifications import views

urlpatterns: list[URLPattern] = [
    path("notifications/", views.notifications, name="notifications"),
    path("notifications/choices/", views.choose_notifications, name="notification_choices"),
]
