/** Draws a timeline on a canvas: lanes of labels, alerts, gaps, lost frames and ticks. */
import { colorOf } from "../../lib/colors.js";
import { placeOf } from "./scale.js";

export const ALERTS = 18; // CSS pixels: the height of the row of alerts
export const LANE = 24;
export const AXIS = 22;
const LOST = 6; // of the marks of frames that failed or were dropped

/** Return the height of a timeline with this number of lanes, in CSS pixels. */
export const heightOf = (lanes) => ALERTS + LANE * lanes + AXIS;

/**
 * Draw a timeline.
 *
 * @param {CanvasRenderingContext2D} context whose unit is a CSS pixel
 * @param {{width: number, height: number}} size in CSS pixels
 * @param {object} what `view`, `lanes` (labels with buckets), `seconds` of a bucket, `all` (frames of each bucket by
 *   time), `gaps`, `alerts` (times), `failed` and `thin` (times of buckets), `ticks`, `tickText`
 * @param {{quiet: string, grid: string, bad: string, gap: CanvasPattern, thin: CanvasPattern}} colors
 */
export function drawTimeline(context, size, what, colors) {
  const { width, height } = size;
  const { view } = what;
  const x = (time) => placeOf(time, view, width);
  const floor = height - AXIS;
  context.clearRect(0, 0, width, height);
  for (const { from, to } of what.gaps) {
    context.fillStyle = colors.gap;
    context.fillRect(x(from), ALERTS, Math.max(1, x(to) - x(from)), floor - ALERTS);
  }
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const tick of what.ticks) {
    context.fillStyle = colors.grid;
    context.fillRect(Math.round(x(tick)), ALERTS, 1, floor - ALERTS + 4);
    context.fillStyle = colors.quiet;
    const text = what.tickText(tick);
    const wide = context.measureText(text).width;
    context.fillText(text, Math.min(Math.max(0, x(tick) - wide / 2), width - wide), height - AXIS / 2 + 2);
  }
  what.lanes.forEach((lane, n) => drawLane(context, lane, n, what, x));
  const long = (time) => x(time + what.seconds) - x(time);
  context.fillStyle = colors.thin;
  for (const time of what.thin) context.fillRect(x(time), floor - LOST, long(time), LOST);
  context.fillStyle = colors.bad;
  for (const time of what.failed) context.fillRect(Math.round(x(time)), floor - LOST, Math.max(3, long(time)), LOST);
  for (const time of what.alerts) drawAlert(context, x(time), colors.bad);
}

function drawLane(context, lane, number, { seconds, all, view }, x) {
  const bottom = ALERTS + LANE * (number + 1) - 2;
  context.fillStyle = colorOf(lane.label);
  for (const bucket of lane.buckets) {
    if (bucket.time + seconds < view.from || bucket.time > view.to) continue;
    const share = Math.min(1, bucket.frames / (all.get(bucket.time) ?? bucket.frames));
    const high = Math.max(2, Math.sqrt(share) * (LANE - 6));
    const left = x(bucket.time);
    context.fillRect(left, bottom - high, Math.max(1.5, x(bucket.time + seconds) - left - 0.5), high);
  }
}

function drawAlert(context, x, color) {
  context.fillStyle = color;
  context.beginPath();
  context.moveTo(x - 5, 2);
  context.lineTo(x + 5, 2);
  context.lineTo(x, ALERTS - 2);
  context.fill();
}
