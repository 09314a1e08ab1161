"""Where channels may be: names are resolved once, and held to VA_NOTIFY_NETWORKS."""

from functools import partial

from ... import addresses
from ...concurrency.threads import in_daemon_thread
from ...domain.networks import Networks
from .base import SendError

_MOST_ADDRESSES = 4  # of one name that are tried


async def resolve(networks: Networks, host: str, port: int) -> list[str]:
    """Return the addresses of a host that are on `networks`: connect to these, and not to the name.

    Raises:
        SendError: there is none.
    """
    try:
        found = await in_daemon_thread("resolve", partial(addresses.resolve, networks, host, port))
    except OSError as error:
        raise SendError(f"has no address: {error.strerror or 'the name cannot be resolved'}") from error
    if found.forbidden is not None and not found.allowed:
        ip, kind = found.forbidden
        hint = f": add {kind} to VA_NOTIFY_NETWORKS if channels may be there" if kind else ""
        raise SendError(f"is at {ip}, which is not an address that channels may have{hint}")
    return [str(address[0]) for _, address in found.allowed[:_MOST_ADDRESSES]]
