"""Webhooks, and what was told to them."""

from django.http import Http404
from django.shortcuts import get_object_or_404
from ninja import Query, Router

from webapp.api.bearer import ApiRequest, open_project
from webapp.api.filled import filled
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import DeliverySchema, MadeWebhookSchema, SecretSchema, WebhookSchema
from webapp.api.sent import WebhookSent
from webapp.projects.access import Action
from webapp.webhooks.forms import WebhookForm
from webapp.webhooks.models import Delivery, Webhook
from webapp.webhooks.services import draw_secret, make_webhook, send_again
from webapp.webhooks.views import ACTS

router = Router(tags=["webhooks"])


def webhook_in(request: ApiRequest, project_id: int, webhook_id: int) -> Webhook:
    """The webhook, if token and person may manage it."""
    project = open_project(request, project_id, Action.MANAGE_WEBHOOKS)
    return get_object_or_404(project.webhooks, pk=webhook_id)


@router.get("/projects/{project_id}/webhooks", response=PageSchema[WebhookSchema])
def list_webhooks(
    request: ApiRequest, project_id: RowId, paging: Query[Paging]
) -> ListPart[Webhook]:
    """Webhooks, the oldest first."""
    project = open_project(request, project_id, Action.MANAGE_WEBHOOKS)
    return list_part(project.webhooks.all(), paging)


@router.post(
    "/projects/{project_id}/webhooks",
    response={201: MadeWebhookSchema},
    operation_id="make_webhook",
)
def add_webhook(request: ApiRequest, project_id: RowId, sent: WebhookSent) -> dict[str, object]:
    """Make a webhook; its secret is answered this once."""
    project = open_project(request, project_id, Action.MANAGE_WEBHOOKS)
    form = filled(WebhookForm, sent.dict())
    made, secret = make_webhook(project, by=request.user, **form.cleaned_data)
    made.refresh_from_db()
    return {"webhook": made, "secret": secret}


@router.get("/projects/{project_id}/webhooks/{webhook_id}", response=WebhookSchema)
def get_webhook(request: ApiRequest, project_id: RowId, webhook_id: RowId) -> Webhook:
    """One webhook."""
    return webhook_in(request, project_id, webhook_id)


@router.post(
    "/projects/{project_id}/webhooks/{webhook_id}/secret",
    response=SecretSchema,
    operation_id="draw_secret",
)
def another_secret(request: ApiRequest, project_id: RowId, webhook_id: RowId) -> dict[str, str]:
    """Draw another secret, answered this once; the one before proves nothing any more."""
    hook = webhook_in(request, project_id, webhook_id)
    return {"secret": draw_secret(hook, by=request.user)}


@router.get(
    "/projects/{project_id}/webhooks/{webhook_id}/deliveries", response=PageSchema[DeliverySchema]
)
def list_deliveries(
    request: ApiRequest, project_id: RowId, webhook_id: RowId, paging: Query[Paging]
) -> ListPart[Delivery]:
    """What was told to it, the newest first."""
    hook = webhook_in(request, project_id, webhook_id)
    return list_part(hook.deliveries.select_related("entry"), paging, newest=True)


@router.post("/projects/{project_id}/webhooks/{webhook_id}/{action}", response={204: None})
def act_on_webhook(request: ApiRequest, project_id: RowId, webhook_id: RowId, action: str) -> None:
    """Test it, turn it on or off, or remove it."""
    hook = webhook_in(request, project_id, webhook_id)
    if action not in ACTS:
        raise Http404
    ACTS[action](hook, by=request.user)


@router.post(
    "/projects/{project_id}/webhooks/{webhook_id}/deliveries/{delivery_id}/again",
    response={204: None},
    operation_id="send_again",
)
def deliver_again(
    request: ApiRequest, project_id: RowId, webhook_id: RowId, delivery_id: RowId
) -> None:
    """Tell it once more, under the same id."""
    hook = webhook_in(request, project_id, webhook_id)
    found = hook.deliveries.select_related("webhook")
    send_again(get_object_or_404(found, pk=delivery_id), by=request.user)
