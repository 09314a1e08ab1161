"""Every function that works with a database, as the service calls it: these modules register their calls."""

from tests.torture.cancellations import api, batches, deliveries, descriptions, notifier, orchestrator, runner
from tests.torture.cancellations.registry import CALLS

__all__ = ["CALLS", "api", "batches", "deliveries", "descriptions", "notifier", "orchestrator", "runner"]
