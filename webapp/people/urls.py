"""Addresses of accounts: ours, and those of allauth that a closed installation needs."""

from allauth.account import views as allauth
from django.urls import URLPattern, path

from webapp.people import panel_pages, views

app_name = "accounts"
urlpatterns: list[URLPattern] = [
    path("setup/<str:token>/", views.enter, {"purpose": "setup"}, name="setup"),
    path("setup/link/<slug:link>/", views.setup, name="setup_page"),
    path("panel/<str:token>/", panel_pages.come, name="panel"),
    path("join/<str:token>/", views.enter, {"purpose": "invite"}, name="invitation"),
    path("join/link/<slug:link>/", views.invitation, name="invitation_page"),
    path("preferences/", views.own_account, name="own_account"),
    path("preferences/raw/", views.raw_view, name="raw_view"),
    path("preferences/language/", views.language, name="language"),
    path("reset/<str:token>/", views.enter, {"purpose": "reset"}, name="reset"),
    path("reset/link/<slug:link>/", views.reset, name="reset_page"),
]
# Nobody signs up and nothing is mailed, so these are all; allauth wants the names without ours.
sign_in: list[URLPattern] = [
    path("login/", allauth.login, name="account_login"),
    path("logout/", allauth.logout, name="account_logout"),
    path("inactive/", allauth.account_inactive, name="account_inactive"),
    path("password/change/", allauth.password_change, name="account_change_password"),
    path("password/set/", allauth.password_set, name="account_set_password"),
    path("password/reset/", views.forgotten, name="account_reset_password"),
]
