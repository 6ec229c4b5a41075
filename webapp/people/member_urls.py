"""Addresses of a project's members."""

from django.urls import URLPattern, path

from webapp.people import members

urlpatterns: list[URLPattern] = [
    path("members/", members.members, name="members"),
    path("members/invitations/", members.invite, name="invite"),
    path("members/invitations/<row:link_id>/", members.withdraw, name="withdraw"),
    path("members/<row:membership_id>/", members.member, name="member"),
    path("members/<row:membership_id>/reset/", members.reset, name="reset"),
]
