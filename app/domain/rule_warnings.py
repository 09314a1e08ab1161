"""Warn of zones, lines, alerts and tracking that can be met, but not as one might expect."""

from .analysis import MAX_GAP_SECONDS, Tracking
from .reason import ScenarioWarning, WarningCode
from .sampling import FixedRate, Sampling

RARE: WarningCode = "sampled_rarely"


def sampling_warning(sampling: Sampling | None, tracking: Tracking | None) -> ScenarioWarning | None:
    """Return a warning if frames are too far apart to follow what moves, None if they are not, or unknown."""
    if not isinstance(sampling, FixedRate) or tracking is None:
        return None
    return rarity_warning(1 / sampling.fps, tracking.max_gap_seconds)


def rarity_warning(interval: float, gap: float) -> ScenarioWarning | None:
    """Return a warning if a frame every `interval` seconds is too rare to follow objects unseen for `gap`.

    As many seconds are too rare, too: a frame that comes a little later is common.
    """
    if interval < gap:
        return None
    what = f"A frame every {interval:.3g} s"
    if interval >= MAX_GAP_SECONDS:
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
    return ScenarioWarning(RARE, text)
