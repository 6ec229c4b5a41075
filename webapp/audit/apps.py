"""The app of the audit log, which hears of sign-ins by Django's and allauth's signals."""

from typing import Any

from allauth.account.signals import password_changed, password_set
from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import Signal


class AuditConfig(AppConfig):
    """Whoever signs in or out, or sets a password on allauth's page, leaves a row."""

    name = "webapp.audit"

    def ready(self) -> None:
        """Listen."""
        from webapp.audit.acts import Act  # noqa: PLC0415 - models can be loaded from here on

        heard: dict[Signal, Act] = {
            user_logged_in: Act.SIGNED_IN,
            user_logged_out: Act.SIGNED_OUT,
            password_changed: Act.PASSWORD_SET,
            password_set: Act.PASSWORD_SET,
        }
        for signal, act in heard.items():
            signal.connect(_writer(act), weak=False, dispatch_uid=f"audit-{act}-{id(signal)}")


def _writer(act: Any) -> Any:  # noqa: ANN401 - a receiver
    from webapp.audit.records import record_act  # noqa: PLC0415 - as above

    def write(user: Any = None, **_rest: object) -> None:  # noqa: ANN401 - who signed in, if anybody
        if user is not None and user.pk is not None:
            record_act(act, user, about=user.pk)

    return write
