/** The arithmetic of a timeline's view: zoom, pan, places of times and of ticks. Times in seconds. No DOM. */

const SHORTEST = 1; // second: nothing shorter is shown
const MOST_BUCKETS = 400; // in a view
const MARGIN = 1; // views that are read before and after the one that is shown

const BUCKETS = [0.1, 0.2, 0.5, 1, 2, 5, 15, 30, 60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400];
const STEPS = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
  2 * 86_400, 7 * 86_400, 28 * 86_400,
];

/** Return a view within the domain, not shorter than a second, unless the domain is. */
export function clampView({ from, to }, domain) {
  const whole = domain.to - domain.from;
  const span = Math.min(Math.max(to - from, Math.min(SHORTEST, whole)), whole);
  const middle = (from + to) / 2;
  const begin = Math.min(Math.max(middle - span / 2, domain.from), domain.to - span);
  return { from: begin, to: begin + span };
}

/** Return the view that is `factor` times as long, with the time `at` at the same place. */
export function zoomView(view, domain, factor, at) {
  const whole = domain.to - domain.from;
  const span = view.to - view.from;
  const next = Math.min(Math.max(span * factor, Math.min(SHORTEST, whole)), whole);
  const share = span ? (at - view.from) / span : 0;
  return clampView({ from: at - share * next, to: at + (1 - share) * next }, domain);
}

/** Return the view moved by seconds. */
export function panView(view, domain, seconds) {
  return clampView({ from: view.from + seconds, to: view.to + seconds }, domain);
}

/** Return the view in which `time` is visible: the same one, or moved as little as needed and a bit more. */
export function followView(view, domain, time) {
  const span = view.to - view.from;
  if (time < view.from) return panView(view, domain, time - view.from - span * 0.1);
  if (time > view.to) return panView(view, domain, time - view.to + span * 0.5);
  return view;
}

/** Return where a time is, in pixels from the left. */
export function placeOf(time, view, width) {
  return ((time - view.from) / (view.to - view.from)) * width;
}

/** Return the time at a place. */
export function timeAt(place, view, width) {
  return view.from + (place / width) * (view.to - view.from);
}

/**
 * Return what to read to show a view: a range with margins, and the length of its buckets.
 *
 * @param {number} least seconds of a bucket: shorter ones are refused, because they have too many frames or counts
 */
export function wishOf(view, domain, least = 0) {
  const span = view.to - view.from;
  const bucket = BUCKETS.find((each) => span <= each * MOST_BUCKETS && each >= least);
  const from = Math.max(domain.from, view.from - MARGIN * span);
  const to = Math.min(domain.to, view.to + MARGIN * span);
  return { from, to, bucket: bucket ?? BUCKETS.at(-1) };
}

/** Return whether what was read shows a view as well as reading it again would. */
export function isEnough(read, view, domain, least = 0) {
  const wish = wishOf(view, domain, least);
  return (
    read !== null &&
    read.bucket === wish.bucket &&
    read.from <= Math.max(domain.from, view.from) &&
    read.to >= Math.min(domain.to, view.to)
  );
}

/**
 * Return the times of ticks, and seconds between them, at least `apart` pixels from each other.
 *
 * @param {number} offset seconds by which midnight of the viewer is before midnight of UTC; 0 for recordings
 */
export function ticksOf(view, width, offset = 0, apart = 90) {
  const smallest = ((view.to - view.from) / Math.max(width, 1)) * apart;
  const step = STEPS.find((each) => each >= smallest) ?? STEPS.at(-1);
  const times = [];
  const first = Math.ceil((view.from + offset) / step);
  for (let n = first; n * step - offset <= view.to; n++) times.push(n * step - offset);
  return { step, times };
}
