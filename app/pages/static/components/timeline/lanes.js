/** What a timeline shows: labels by frequency, and the ranges in which nothing is stored. No DOM. */

const FEWER = 0.8; // of the sampled frames

/** Return the labels, the one that is found in the most frames first; equal ones by name. */
export function rankLabels(labels) {
  const total = (each) => each.buckets.reduce((sum, bucket) => sum + bucket.frames, 0);
  return labels
    .map((each) => ({ ...each, frames: total(each) }))
    .sort((a, b) => b.frames - a.frames || a.label.localeCompare(b.label, undefined, { numeric: true }));
}

/** Return lanes in the order of an earlier ranking, so that none jumps while its view changes. */
export function keepOrder(labels, order) {
  const place = new Map(order.map((label, n) => [label, n]));
  const at = (each) => place.get(each.label) ?? order.length;
  return rankLabels(labels).sort((a, b) => at(a) - at(b));
}

/**
 * Return the ranges between `from` and `to` without a stored frame.
 *
 * @param {{time: number}[]} buckets those of all labels, in which a frame is stored
 * @param {number} seconds of a bucket
 * @param {number} interval seconds between sampled frames: shorter gaps are none
 */
export function gapsOf(buckets, seconds, interval, from, to) {
  const shortest = Math.max(seconds, 2.5 * interval);
  const gaps = [];
  let end = from;
  for (const { time } of buckets) {
    if (time + seconds <= from) continue;
    if (time >= to) break;
    if (time - end > shortest) gaps.push({ from: end, to: time });
    end = Math.max(end, time + seconds);
  }
  if (to - end > shortest) gaps.push({ from: end, to });
  return gaps;
}

/**
 * Return the buckets from one time to another that have clearly fewer frames than are sampled.
 *
 * Those at both ends are left out, because they may be counted in part.
 *
 * @param {{time: number, frames: number}[]} buckets those of all labels
 * @param {number} seconds of a bucket
 * @param {number|null} rate frames that are sampled each second; null if that is not known
 */
export function thinOf(buckets, seconds, rate, from, to) {
  const most = Math.floor(FEWER * seconds * (rate ?? 0));
  return buckets.filter(({ time, frames }) => frames <= most && time > from && time + 2 * seconds <= to);
}

/**
 * Return when a live source gave no pictures, and why, from the history of its scenario.
 *
 * `to` is Infinity while it lasts. Times are Unix time in seconds.
 */
export function outagesOf(changes) {
  const outages = [];
  let open = null;
  const close = (at) => {
    if (open) outages.push({ ...open, to: at });
    open = null;
  };
  for (const change of changes) {
    const at = Date.parse(change.at) / 1000;
    const isLost =
      change.kind === "source"
        ? change.state !== "open"
        : change.to !== "active" && change.from !== null;
    if (isLost && change.kind === "state" && change.to === "in_startup_processing" && open) continue;
    close(at);
    if (isLost) open = { from: at, reason: change.error ?? change.reason };
  }
  close(Infinity);
  return outages;
}

/** Return the reason of a gap: of the outage that overlaps it most. */
export function reasonOf(gap, outages) {
  const overlap = (each) => Math.min(gap.to, each.to) - Math.max(gap.from, each.from);
  const best = outages.reduce((a, b) => (a && overlap(a) >= overlap(b) ? a : b), null);
  return best && overlap(best) > 0 ? best.reason : null;
}
