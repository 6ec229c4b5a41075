"""People whom a crowd platform sends: each has an account under the name that they have there, and no password.

The link is signed and the same for all; the platform adds `?worker=ID` to it. Whoever knows an ID may label under
it, and nothing else: such an account opens one project, as annotator.
"""

import re
import secrets

from django.core.signing import BadSignature, Signer
from django.db import transaction
from django.utils.translation import gettext as _

from webapp.accounts.errors import AccountError
from webapp.accounts.models import User
from webapp.accounts.names import NOBODYS
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.projects.models import Membership, Panel, Project
from webapp.site.htmx import is_key

WORKER = re.compile(r"[A-Za-z0-9_.@-]{1,64}", re.ASCII)
SIGNER = Signer(salt="webapp.people.panels")


@transaction.atomic
def make_panel(
    project: Project, *, name: str, quota: int, places: int, code: str = "", by: User | None = None
) -> Panel:
    """A panel of so many people who give so many labels each; its code is drawn where none is given."""
    told = {"name": name, "quota": quota, "places": places}
    made = Panel.objects.create(project=project, code=code or secrets.token_hex(6).upper(), **told)
    record_act(Act.PANEL_OPENED, by, project=project.pk, about=made.pk, quota=quota, places=places)
    return made


@transaction.atomic
def close_panel(panel: Panel, *, by: User | None = None) -> None:
    """Let nobody in by the panel's link any more; whoever came stays a member."""
    Panel.objects.filter(pk=panel.pk).update(closed=True)
    record_act(Act.PANEL_CLOSED, by, project=panel.project_id, about=panel.pk)


def token_of_panel(panel: Panel) -> str:
    """What the panel's link ends with; nobody makes one without our key."""
    return SIGNER.sign(str(panel.pk))


def panel_of_token(token: str) -> Panel | None:
    """The panel whose link this is, while it is open and its project is."""
    try:
        key = SIGNER.unsign(token)
    except BadSignature:
        return None
    open_ = Panel.objects.filter(closed=False, project__archived_at=None).select_related("project")
    return open_.filter(pk=key).first() if is_key(key) else None


@transaction.atomic
def let_in(panel: Panel, worker: str) -> User:
    """The account of a worker in the panel, made when they come first.

    Raises AccountError for an ID that is none, for one who was turned away, and where all places are taken.
    """
    if not WORKER.fullmatch(worker):
        raise AccountError(
            _("The address lacks your worker ID: open the link of the platform once more.")
        )
    Panel.objects.select_for_update().get(pk=panel.pk)  # so no place is given twice
    name = f"panel{NOBODYS}{panel.pk}{NOBODYS}{worker}"
    known = panel.members.filter(user__username=name).select_related("user").first()
    if known:
        return _not_turned_away(known.user)
    if User.objects.matching(name).exists():
        raise AccountError(_("You are in this project no longer."))
    if panel.members.count() >= panel.places:
        raise AccountError(_("All places are taken."))
    user = User.objects.create_user(name, password=None)
    Membership.objects.create(project=panel.project, user=user, role=Role.ANNOTATOR, panel=panel)
    record_act(Act.MEMBER_ADDED, user, project=panel.project_id, about=user.pk, panel=panel.pk)
    return user


def _not_turned_away(user: User) -> User:
    if not user.is_active:
        raise AccountError(_("You are in this project no longer."))
    return user
