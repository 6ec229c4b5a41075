"""Addresses of accounts: ours, and those of allauth that a closed installation needs."""

from collections.abc import Callable

from allauth.account import views as allauth
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from django.contrib.auth.decorators import login_required
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from webapp.accounts.adapter import PROVIDER
from webapp.people import oidc, panel_pages, views


def own(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A page of allauth's for who has signed in: it would keep a session for whoever sends something."""
    return login_required(require_http_methods(["GET", "HEAD", "POST"])(view))


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
    path(
        "oidc/login/", oidc.go_to_provider, {"provider_id": PROVIDER}, name="openid_connect_login"
    ),
    path(
        "oidc/login/callback/",
        oidc.come_from_provider,
        {"provider_id": PROVIDER},
        name="openid_connect_callback",
    ),
    path("oidc/cancelled/", oidc.not_signed_in, name="socialaccount_login_cancelled"),
    path("oidc/disconnect/", oidc.disconnect, name="disconnect_provider"),
    path("reauthenticate/", own(allauth.reauthenticate), name="account_reauthenticate"),
    path("second/", own(mfa.index), name="mfa_index"),
    path("second/code/", mfa.authenticate, name="mfa_authenticate"),
    path("second/again/", own(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("second/activate/", own(totp.activate_totp), name="mfa_activate_totp"),
    path("second/deactivate/", own(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("second/codes/", own(codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path(
        "second/codes/new/",
        own(codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "second/codes/file/",
        own(codes.download_recovery_codes),
        name="mfa_download_recovery_codes",
    ),
]
