"""What each operation of the interface asks of role and token, and the least that it can be sent."""

from typing import NamedTuple

from webapp.api.scopes import Scope
from webapp.projects.access import Action

PROMPT = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}


class Gate(NamedTuple):
    """The action that it does, the scope that a token must have, and what is sent."""

    action: Action | None  # None: anybody who has a token
    scope: Scope
    body: dict[str, object] | None = None


READ = Scope.READ
OPERATIONS = {
    "list_projects": Gate(None, READ),
    "get_project": Gate(Action.SEE_PROJECT, READ),
    "list_prompts": Gate(Action.WRITE_PROMPTS, READ),
    "add_prompts": Gate(Action.WRITE_PROMPTS, Scope.DATA, {"prompts": [PROMPT]}),
    "list_tasks": Gate(Action.SEE_DATA, READ),
    "make_tasks": Gate(Action.MAKE_TASKS, Scope.DATA, {}),
    "change_tasks": Gate(Action.CHECK_LABELS, Scope.DATA, {"tasks": [1], "act": "again"}),
    "take_next_task": Gate(Action.LABEL, Scope.LABEL, {}),
    "skip_task": Gate(Action.LABEL, Scope.LABEL, {"assignment": 1}),
    "list_labels": Gate(Action.SEE_DATA, READ),
    "submit_label": Gate(Action.LABEL, Scope.LABEL, {"assignment": 1, "answer": {}}),
    "get_form": Gate(Action.COMPOSE_FORM, READ),
    "change_form": Gate(Action.COMPOSE_FORM, Scope.DATA, {}),
    "get_quality": Gate(Action.CHECK_LABELS, READ),
    "measure_quality": Gate(Action.CHECK_LABELS, Scope.DATA, {}),
    "list_disagreements": Gate(Action.CHECK_LABELS, READ),
    "list_decisions": Gate(Action.CHECK_LABELS, READ),
    "decide_task": Gate(Action.CHECK_LABELS, Scope.DATA, {}),
    "undecide_task": Gate(Action.CHECK_LABELS, Scope.DATA, {}),
    "send_label_back": Gate(Action.CHECK_LABELS, Scope.DATA, {"label": 1}),
    "list_gold": Gate(Action.CHECK_LABELS, READ),
    "set_gold": Gate(Action.CHECK_LABELS, Scope.DATA, {}),
    "get_checks": Gate(Action.CHECK_LABELS, READ),
    "change_checks": Gate(Action.CHECK_LABELS, Scope.DATA, {}),
    "list_allocations": Gate(Action.MAKE_TASKS, READ),
    "allocate_tasks": Gate(Action.MAKE_TASKS, Scope.DATA, {}),
    "list_members": Gate(Action.MANAGE_MEMBERS, READ),
    "add_member": Gate(
        Action.MANAGE_MEMBERS, Scope.ADMIN, {"username": "none", "role": "annotator"}
    ),
    "change_role": Gate(Action.MANAGE_MEMBERS, Scope.ADMIN, {"role": "annotator"}),
    "act_on_member": Gate(Action.MANAGE_MEMBERS, Scope.ADMIN, {}),
    "list_invitations": Gate(Action.MANAGE_MEMBERS, READ),
    "invite": Gate(Action.MANAGE_MEMBERS, Scope.ADMIN, {"role": "annotator"}),
    "withdraw_invitation": Gate(Action.MANAGE_MEMBERS, Scope.ADMIN, {}),
    "list_snapshots": Gate(Action.SEE_DATA, READ),
    "get_snapshot": Gate(Action.SEE_DATA, READ),
    "get_changes": Gate(Action.SEE_DATA, READ),
    "freeze_snapshot": Gate(Action.FREEZE, Scope.DATA, {}),
    "upload_file": Gate(Action.IMPORT_DATA, Scope.DATA, {}),
    "take_file": Gate(Action.IMPORT_DATA, Scope.DATA, {}),
    "add_rows": Gate(Action.IMPORT_DATA, Scope.DATA, {"rows": [{"prompt": "Hello?"}]}),
    "start_export": Gate(Action.EXPORT_DATA, Scope.DATA, {"snapshot": 1, "format": "none"}),
    "list_jobs": Gate(Action.SEE_DATA, READ),
    "get_job": Gate(Action.EXPORT_DATA, READ),
    "download_file": Gate(Action.EXPORT_DATA, READ),
    "cancel_job": Gate(Action.EXPORT_DATA, Scope.DATA, {}),
    "list_runs": Gate(Action.SEE_RUNS, READ),
    "get_run": Gate(Action.SEE_RUNS, READ),
    "list_events": Gate(Action.SEE_RUNS, READ),
    "list_metrics": Gate(Action.SEE_RUNS, READ),
    "start_run": Gate(Action.START_RUNS, Scope.TRAIN, {"kind": "none"}),
    "act_on_run": Gate(Action.START_RUNS, Scope.TRAIN, {}),
    "list_rounds": Gate(Action.SEE_ROUNDS, READ),
    "get_round": Gate(Action.SEE_ROUNDS, READ),
    "start_round": Gate(Action.START_ROUNDS, Scope.TRAIN, {}),
    "act_on_round": Gate(Action.START_ROUNDS, Scope.TRAIN, {}),
    "list_sweeps": Gate(Action.SEE_RUNS, READ),
    "get_sweep": Gate(Action.SEE_RUNS, READ),
    "list_trials": Gate(Action.SEE_RUNS, READ),
    "start_sweep": Gate(
        Action.START_RUNS,
        Scope.TRAIN,
        {"kind": "none", "vary": {}, "objective": "none", "better": "larger"},
    ),
    "act_on_sweep": Gate(Action.START_RUNS, Scope.TRAIN, {}),
    "list_models": Gate(Action.SEE_MODELS, READ),
    "get_model": Gate(Action.SEE_MODELS, READ),
    "list_audit": Gate(Action.SEE_AUDIT, READ),
    "list_webhooks": Gate(Action.MANAGE_WEBHOOKS, READ),
    "get_webhook": Gate(Action.MANAGE_WEBHOOKS, READ),
    "make_webhook": Gate(
        Action.MANAGE_WEBHOOKS, Scope.ADMIN, {"url": "https://example.org", "acts": ["run.ended"]}
    ),
    "draw_secret": Gate(Action.MANAGE_WEBHOOKS, Scope.ADMIN, {}),
    "act_on_webhook": Gate(Action.MANAGE_WEBHOOKS, Scope.ADMIN, {}),
    "list_deliveries": Gate(Action.MANAGE_WEBHOOKS, READ),
    "send_again": Gate(Action.MANAGE_WEBHOOKS, Scope.ADMIN, {}),
}
