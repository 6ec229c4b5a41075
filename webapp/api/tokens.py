"""What people do with their tokens, and how a program is known by one."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.api.models import Token
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.site.errors import Refusal

PREFIX = "attune_"  # by which a leaked one is found
MOST = 50  # that work, of one person
USED = timedelta(minutes=1)  # so exactly is it kept when a token was used


class TokenError(Refusal):
    """A token cannot be made; the message says why."""


@transaction.atomic
def make_token(
    person: User, *, name: str, scopes: Sequence[str], ends_at: datetime | None = None
) -> str:
    """Make a token and return it, which is shown once and never again."""
    if person.tokens.working().count() >= MOST:
        raise TokenError(_("You have {n} tokens that work; revoke some first.").format(n=MOST))
    secret = PREFIX + secrets.token_urlsafe(32)
    made = Token.objects.create(
        person=person,
        name=name,
        scopes=list(scopes),
        sha256=_sha256(secret),
        sessions_ended=User.objects.values_list("sessions_ended", flat=True).get(pk=person.pk),
        ends_at=ends_at,
    )
    record_act(Act.TOKEN_MADE, person, about=made.pk, name=name, scopes=" ".join(scopes))
    return secret


@transaction.atomic
def revoke_token(token: Token) -> None:
    """End a token at once."""
    if Token.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=Now()):
        record_act(Act.TOKEN_REVOKED, token.person, about=token.pk, name=token.name)


def find_token(secret: str) -> Token | None:
    """The token that works and has this secret, with its person."""
    digest = _sha256(secret)
    token = Token.objects.working().filter(sha256=digest).select_related("person").first()
    # An index compares digests, of which nobody chooses a beginning; the whole is compared in constant time.
    return token if token and constant_time_compare(token.sha256, digest) else None


def note_use(token: Token) -> None:
    """Keep that it was used."""
    long_ago = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - USED)
    Token.objects.filter(long_ago, pk=token.pk).update(last_used_at=Now())


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
