"""How Home Assistant is told of a scenario: MQTT discovery messages, a device with its entities.

Source: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from typing import Any
from uuid import UUID

import msgspec

SEEN_SECONDS = 30
"""How long the sensor of alerts stays on after one."""


def discovery_topic(prefix: str, scenario_id: UUID, kind: str) -> str:
    """Return the topic of the message for one kind of events: those of a scenario are one device."""
    return f"{prefix}/device/videoanalysis_{scenario_id}_{kind}/config"


def discovery_message(scenario_id: UUID, name: str, kind: str, state_topic: str) -> bytes:
    """Return the message: an entity for the events, and of alerts a sensor that is on for a while."""
    unique = f"videoanalysis_{scenario_id}_{kind}"
    components: dict[str, Any] = {
        "event": {
            "platform": "event",
            "unique_id": unique,
            "name": kind.capitalize(),
            "device_class": "motion",
            "event_types": [kind],
            "value_template": "{{ {'event_type': value_json.data.event.kind,"
            " 'label': value_json.data.event.label, 'name': value_json.data.event.name} | to_json }}",
        }
    }
    if kind == "alert":
        components["seen"] = {
            "platform": "binary_sensor",
            "unique_id": f"{unique}_seen",
            "name": "Seen",
            "device_class": "motion",
            "value_template": "ON",
            "off_delay": SEEN_SECONDS,
        }
    return msgspec.json.encode(
        {
            "device": {
                "identifiers": [f"videoanalysis_{scenario_id}"],
                "name": name or str(scenario_id),
                "manufacturer": "videoanalysis",
            },
            "origin": {"name": "videoanalysis"},
            "state_topic": state_topic,
            "qos": 1,
            "components": components,
        }
    )
