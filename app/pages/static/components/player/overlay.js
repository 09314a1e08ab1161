/** What is drawn over a picture: boxes with labels, confidences and track ids, and zones and lines. */
import { IGNORED_COLOR, LINE_COLOR, ZONE_COLOR, colorOf } from "../../lib/colors.js";
import { placeText } from "./places.js";

const FONT = 12; // CSS pixels
const MOST_CHARACTERS = 60; // of a text
const HELD_OPACITY = 0.45;

/** Return a text that does not change the direction of what is beside it, whatever characters it has. */
const isolated = (text) => `\u2068${text}\u2069`;

/** Return the text of a detection's label. */
export function labelText({ label, confidence, track_id: track }) {
  const short = label.length > MOST_CHARACTERS ? `${label.slice(0, MOST_CHARACTERS)}…` : label;
  return `${track === null || track === undefined ? "" : `#${track} `}${isolated(short)} ${confidence.toFixed(2)}`;
}

/**
 * Draw over a picture.
 *
 * @param {CanvasRenderingContext2D} context of a canvas that covers the picture exactly
 * @param {{width: number, height: number, scale: number}} size of the canvas in pixels, and pixels of the canvas
 *   to a CSS pixel
 * @param {object|null} prediction a stored frame; its boxes are in pixels of the upright frame
 * @param {{zones: object[], lines: object[], fallback: {width: number, height: number}|null, isHeld: boolean}} more
 *   `isHeld`: the picture is a later one than the stored frame, so its boxes are drawn faintly
 */
export function drawOverlay(context, size, prediction, { zones, lines, fallback, isHeld }) {
  const { width, height, scale } = size;
  context.clearRect(0, 0, width, height);
  context.font = `${FONT * scale}px system-ui, sans-serif`;
  context.textBaseline = "top";
  context.lineJoin = "round";
  const at = ([x, y]) => [x * width, y * height];
  const taken = []; // by texts
  for (const zone of zones) {
    const color = zone.ignore ? IGNORED_COLOR : ZONE_COLOR;
    drawPath(context, zone.polygon.map(at), color, scale, true);
    drawText(context, isolated(zone.name), pointBox(at(zone.polygon[0])), color, size, taken);
  }
  for (const line of lines) {
    drawArrow(context, at(line.from), at(line.to), scale);
    drawText(context, isolated(line.name), pointBox(at(line.from)), LINE_COLOR, size, taken);
  }
  if (!prediction) return;
  const frame = prediction.width ? prediction : fallback;
  if (!frame?.width) return;
  const [sx, sy] = [width / frame.width, height / frame.height];
  context.globalAlpha = isHeld ? HELD_OPACITY : 1;
  const boxes = prediction.detections.map(({ box: [x1, y1, x2, y2] }) => [x1 * sx, y1 * sy, x2 * sx, y2 * sy]);
  context.lineWidth = 2 * scale;
  for (let n = boxes.length - 1; n >= 0; n--) {
    // The most confident is drawn last, and its text is placed first.
    const [x1, y1, x2, y2] = boxes[n];
    context.strokeStyle = colorOf(prediction.detections[n].label);
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
  prediction.detections.forEach((each, n) => {
    const [x1, y1, x2, y2] = boxes[n];
    drawText(context, labelText(each), [x1 - scale, y1, x2 + scale, y2], colorOf(each.label), size, taken);
  });
  context.globalAlpha = 1;
}

function drawPath(context, points, color, scale, isClosed) {
  context.beginPath();
  points.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
  if (isClosed) context.closePath();
  context.lineWidth = 2 * scale;
  context.strokeStyle = color;
  context.stroke();
}

function drawArrow(context, from, to, scale) {
  drawPath(context, [from, to], LINE_COLOR, scale, false);
  const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
  const tip = (turn) => [to[0] - 12 * scale * Math.cos(angle + turn), to[1] - 12 * scale * Math.sin(angle + turn)];
  drawPath(context, [tip(0.4), to, tip(-0.4)], LINE_COLOR, scale, false);
}

const pointBox = ([x, y]) => [x, y, x, y];

/** Write a text on a ground of its color, beside a box and clear of the texts before it. */
function drawText(context, text, box, color, { width, height, scale }, taken) {
  const pad = 3 * scale;
  const high = FONT * scale + 2 * pad;
  const wide = context.measureText(text).width + 2 * pad;
  const place = placeText(box, [wide, high], [width, height], taken);
  taken.push(place);
  const [left, top] = place;
  context.fillStyle = color;
  context.fillRect(left, top, wide, high);
  context.fillStyle = "#000";
  context.fillText(text, left + pad, top + pad);
}
