"""Detections become tracks, events and alerts: a pure function of what is stored, in frame order."""
