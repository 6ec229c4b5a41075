"""What is tended of webhooks: what waits is sent, what has been reached is told, what is old is dropped."""

from collections.abc import Callable

from webapp.webhooks.deliveries import forget_deliveries, start_due
from webapp.webhooks.milestones import tell_milestones

DUTIES: tuple[Callable[[], object], ...] = (tell_milestones, start_due, forget_deliveries)
