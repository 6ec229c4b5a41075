"""Addresses of home, projects, prompts and members."""

from django.urls import URLPattern, path

from webapp.projects import people, views

urlpatterns: list[URLPattern] = [
    path("", views.home, name="home"),
    path("projects/new/", views.new_project, name="new_project"),
    path("p/<int:project_id>/", views.project, name="project"),
    path("p/<int:project_id>/prompts/", views.prompts, name="prompts"),
    path("p/<int:project_id>/guidelines/", views.guidelines, name="guidelines"),
    path("p/<int:project_id>/members/", people.members, name="members"),
    path("p/<int:project_id>/members/invitations/", people.invite, name="invite"),
    path("p/<int:project_id>/members/invitations/<int:link_id>/", people.withdraw, name="withdraw"),
    path("p/<int:project_id>/members/<int:membership_id>/", people.member, name="member"),
    path("p/<int:project_id>/members/<int:membership_id>/reset/", people.reset, name="reset"),
]
