"""How the leader of the orchestrators is known in the scenarios database."""

LOCK = 0x76615F6C656164  # "va_lead"; any number that every process uses
"""The key of the leader's advisory lock, at session level."""

APPLICATION = "videoanalysis leader"
"""The `application_name` of the connection that holds it. Release 0.1.0 gave it none."""
