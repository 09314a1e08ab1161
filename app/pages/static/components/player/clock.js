/** The clock of a `<video>` against the times of predictions, in which the first frame has time 0. No DOM. */
import { TOLERANCE } from "./frames.js";

/** Seconds after the beginning of a frame to which a seek goes, so that rounding never shows the one before. */
export const INTO_FRAME = 0.001;

/**
 * Return what the browser's time of a frame is more than the stored one, null if it cannot be told.
 *
 * Browsers either keep the first timestamp of a recording or begin at 0.
 *
 * @param {number} firstMediaTime the browser's time of the first picture that it shows
 * @param {number|null} firstTimestamp seconds of the recording's own clock at its first frame
 */
export function offsetOf(firstMediaTime, firstTimestamp) {
  const isFirst = [0, firstTimestamp ?? 0].some((each) => Math.abs(firstMediaTime - each) <= 4 * TOLERANCE);
  return isFirst ? firstMediaTime : null;
}

/** Return whether a picture of this size is turned otherwise than the upright one, so that boxes differ. */
export function isTurned(width, height, uprightWidth, uprightHeight, displayAspect) {
  const upright = displayAspect ?? uprightWidth / uprightHeight;
  const shown = width / height;
  // Square pixels or not, a picture that lies on its side has the inverse aspect.
  return Math.abs(Math.log(shown * upright)) < Math.abs(Math.log(shown / upright)) - 0.01;
}

/** Counts pictures that are not those that were asked for: then the browser cannot be trusted with frames. */
export class Trust {
  constructor(most = 2) {
    this.most = most;
    this.misses = 0;
  }

  /** Note which time was wanted and which was shown. Returns whether the browser can still be trusted. */
  note(wanted, shown) {
    if (Math.abs(wanted - shown) <= TOLERANCE) this.misses = 0;
    else this.misses += 1;
    return this.misses < this.most;
  }
}
