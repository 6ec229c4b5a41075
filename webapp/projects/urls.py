"""Addresses of home, projects, prompts and members."""

from django.urls import URLPattern, path

from webapp.projects import views

urlpatterns: list[URLPattern] = [
    path("", views.home, name="home"),
    path("projects/new/", views.new_project, name="new_project"),
    path("p/<int:project_id>/", views.project, name="project"),
    path("p/<int:project_id>/prompts/", views.prompts, name="prompts"),
    path("p/<int:project_id>/guidelines/", views.guidelines, name="guidelines"),
    path("p/<int:project_id>/members/", views.members, name="members"),
    path("p/<int:project_id>/members/<int:membership_id>/", views.member, name="member"),
]
