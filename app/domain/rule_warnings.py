"""Warn of zones, lines, alerts and tracking that can be met, but not as one might expect."""

from .analysis import MAX_GAP_SECONDS, Tracking
from .reason import ScenarioWarning
from .sampling import FixedRate, Sampling


def sampling_warning(sampling: Sampling | None, tracking: Tracking | None) -> ScenarioWarning | None:
    """Return a warning if frames are too far apart to follow what moves, None if it is followed or unknown.

    As many seconds as an object may be unseen are too far: a frame that comes a little later is common.
    """
    if not isinstance(sampling, FixedRate) or tracking is None:
        return None
    gap = tracking.max_gap_seconds
    if sampling.fps * gap > 1:
        return None
    what = f"A frame every {1 / sampling.fps:.3g} s"
    if sampling.fps * MAX_GAP_SECONDS <= 1:
        text = (
            f"{what} is too rare for tracking: what is found is another object in each frame, and crosses no"
            f" line. Create a scenario with a frame every {MAX_GAP_SECONDS / 2:g} s or more often, and a"
            " `tracking.max_gap_seconds` that is longer than that."
        )
    else:
        text = (
            f"{what} is rare, and an object may be unseen for {gap:.3g} s (`tracking.max_gap_seconds`): only"
            " what stays in its place is followed. What moves is another object in each frame, and crosses no"
            f" line. Create a scenario with more than {1 / gap:.3g} frames per second, or a longer gap."
        )
    return ScenarioWarning("sampled_rarely", text)
