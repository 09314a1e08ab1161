"""Scenes for tests and benchmarks of tracking: who moves how, and what a detector finds of it.

Most are simulated; `labelled_clip` is real.

A scene is simulated at 30 frames/s from its name and a seed. `Scene.sampled` takes every n-th frame of it,
so that all frame rates see the same movement and the same detections.
"""

from .movement import RATE
from .pedestrians import labelled_clip
from .scene import Scene, SceneFrame, Truth, make_scene, overlap
from .worlds import WORLDS

__all__ = ["RATE", "WORLDS", "Scene", "SceneFrame", "Truth", "labelled_clip", "make_scene", "overlap"]
