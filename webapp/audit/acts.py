"""What people, their programs and Attune itself do to a project or an installation: one row an act.

An act is named `THING.DONE`; what comes before the point says of which table the number in its row is. Labels,
drafts, skips and looks are no acts: labels are rows that nobody erases and that name who gave them.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Act(models.TextChoices):
    """A change of state that leaves a row."""

    SIGNED_IN = "person.signed_in", _("signed in")
    SIGNED_OUT = "person.signed_out", _("signed out")
    PASSWORD_SET = "person.password_set", _("password set")
    PERSON_MADE = "person.made", _("account made")
    PERSON_DEACTIVATED = "person.deactivated", _("account deactivated")
    PERSON_REACTIVATED = "person.reactivated", _("account reactivated")
    PERSON_ERASED = "person.erased", _("erasure of a person's data asked for")
    RESET_MADE = "person.reset_made", _("link for a new password made")
    TOKEN_MADE = "token.made", _("token made")
    TOKEN_REVOKED = "token.revoked", _("token revoked")
    INVITATION_MADE = "invitation.made", _("invitation made")
    INVITATION_WITHDRAWN = "invitation.withdrawn", _("invitation withdrawn")
    MEMBER_ADDED = "member.added", _("member added")
    MEMBER_CHANGED = "member.changed", _("role changed")
    MEMBER_REMOVED = "member.removed", _("member removed")
    PROJECT_MADE = "project.made", _("project made")
    GUIDELINES_SAVED = "project.guidelines_saved", _("guidelines saved")
    FORM_SAVED = "project.form_saved", _("form saved")
    REVIEWS_SET = "project.reviews_set", _("reviews set")
    CHECKS_SET = "project.checks_set", _("checks set")
    PROMPT_WRITTEN = "prompt.written", _("prompt written")
    PROMPTS_CHANGED = "prompt.changed", _("prompts changed")
    WISH_MADE = "wish.made", _("wish made")
    WISH_DROPPED = "wish.dropped", _("wish dropped")
    TASKS_MADE = "task.made", _("tasks made")
    TASKS_CHANGED = "task.changed", _("tasks changed")
    TASK_DECIDED = "task.decided", _("disagreement decided")
    TASK_UNDECIDED = "task.undecided", _("decision taken back")
    CHECK_MADE = "task.check_made", _("task made a check")
    CHECK_ENDED = "task.check_ended", _("check ended")
    LABEL_SENT_BACK = "label.sent_back", _("answer sent back")
    LABELS_REACHED = "label.reached", _("number of labels reached")
    SNAPSHOT_FROZEN = "snapshot.frozen", _("snapshot frozen")
    SNAPSHOT_FILE_REMOVED = "snapshot.file_removed", _("file of a snapshot removed")
    JOB_STARTED = "job.started", _("job started")
    JOB_CANCELLED = "job.cancelled", _("job cancelled")
    JOB_ENDED = "job.ended", _("job ended")
    RUN_STARTED = "run.started", _("run started")
    RUN_CHANGED = "run.changed", _("run acted on")
    RUN_ENDED = "run.ended", _("run ended")
    ROUND_STARTED = "round.started", _("round started")
    ROUND_CHANGED = "round.changed", _("round acted on")
    ROUND_ENDED = "round.ended", _("round ended")
    SWEEP_STARTED = "sweep.started", _("sweep started")
    SWEEP_CHANGED = "sweep.changed", _("sweep acted on")
    SWEEP_ENDED = "sweep.ended", _("sweep ended")
    WEBHOOK_MADE = "webhook.made", _("webhook made")
    WEBHOOK_CHANGED = "webhook.changed", _("webhook changed")
    WEBHOOK_REMOVED = "webhook.removed", _("webhook removed")
    WEBHOOK_TESTED = "webhook.tested", _("webhook tested")


THINGS = sorted({act.value.partition(".")[0] for act in Act})
