"""Detectors: a picture becomes detections."""
