"""Addresses of a project's members."""

from django.urls import URLPattern, path

from webapp.people import members, panel_pages

urlpatterns: list[URLPattern] = [
    path("members/", members.members, name="members"),
    path("members/invitations/", members.invite, name="invite"),
    path("members/invitations/<row:link_id>/", members.withdraw, name="withdraw"),
    path("panels/", panel_pages.panels, name="panels"),
    path("panels/<row:panel_id>/", panel_pages.close, name="close_panel"),
    path("members/<row:membership_id>/", members.member, name="member"),
    path("members/<row:membership_id>/reset/", members.reset, name="reset"),
]
