// Zones and lines as they are drawn on a picture of `size` pixels.

import { html } from "../../lib/preact.js";
import { IGNORED_COLOR, LINE_COLOR, ZONE_COLOR } from "../../lib/colors.js";
import { sidesOf } from "./draft.js";

const toPixels = ([x, y], { width, height }) => [x * width, y * height];
const textOf = (point, size) => toPixels(point, size).map((value) => value.toFixed(1)).join();
const listOf = (points, size) => points.map((point) => textOf(point, size)).join(" ");
const percent = (value) => `${(value * 100).toFixed(1)} %`;

/** A corner that can be dragged and moved by arrow keys. */
function Handle({ point, place, label, size }) {
  const [x, y] = toPixels(point, size);
  return html`<g
    class="handle"
    data-place=${place}
    tabindex="0"
    role="button"
    aria-label=${`${label}: ${percent(point[0])} from the left, ${percent(point[1])} from the top`}
  >
    <circle class="grip" cx=${x} cy=${y} r="14" />
    <circle class="dot" cx=${x} cy=${y} r="6" />
  </g>`;
}

function Name({ text, at: [x, y], size }) {
  const near = x > size.width - 80;
  return html`<text
    class="shape-name"
    x=${near ? x - 8 : x + 8}
    y=${Math.max(16, y - 8)}
    text-anchor=${near ? "end" : "start"}
  >${text}</text>`;
}

export function ZoneShape({ zone, index, size, isSelected }) {
  const color = zone.ignore ? IGNORED_COLOR : ZONE_COLOR;
  const top = zone.polygon.reduce((best, point) => (point[1] < best[1] ? point : best));
  return html`<g class=${isSelected ? "shape selected" : "shape"}>
    <polygon
      points=${listOf(zone.polygon, size)}
      fill=${color}
      stroke=${color}
      data-place=${`zone,${index}`}
      tabindex="0"
      role="button"
      aria-label=${`Zone ${zone.name}, ${zone.polygon.length} corners${zone.ignore ? ", ignored" : ""}`}
    />
    <${Name} text=${zone.ignore ? `${zone.name} (ignored)` : zone.name} at=${toPixels(top, size)} size=${size} />
    ${isSelected &&
    zone.polygon.map(
      (point, corner) =>
        html`<${Handle}
          key=${corner}
          point=${point}
          place=${`zone,${index},${corner}`}
          size=${size}
          label=${`${zone.name}, corner ${corner + 1} of ${zone.polygon.length}`}
        />`,
    )}
  </g>`;
}

export function LineShape({ line, index, size, isSelected }) {
  const [from, to] = [toPixels(line.from, size), toPixels(line.to, size)];
  const middle = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
  const sides = sidesOf([line.from, line.to], size, 26);
  const angle = (Math.atan2(to[1] - from[1], to[0] - from[0]) * 180) / Math.PI;
  const side = (name) => html`<text
    class="side"
    x=${middle[0] + sides[name][0]}
    y=${middle[1] + sides[name][1] + 4}
    text-anchor="middle"
  >${name}</text>`;
  const ends = { x1: from[0], y1: from[1], x2: to[0], y2: to[1] };
  return html`<g class=${isSelected ? "shape selected" : "shape"}>
    <g data-place=${`line,${index}`} tabindex="0" role="button" aria-label=${`Line ${line.name}`}>
      <line class="grip" ...${ends} />
      <line class="stroke" ...${ends} stroke=${LINE_COLOR} />
      <path
        d="M -6 -6 L 6 0 L -6 6 Z"
        fill=${LINE_COLOR}
        transform=${`translate(${middle[0]} ${middle[1]}) rotate(${angle})`}
      />
    </g>
    ${side("left")} ${side("right")}
    <${Name} text=${line.name} at=${from} size=${size} />
    ${isSelected &&
    [line.from, line.to].map(
      (point, end) =>
        html`<${Handle}
          key=${end}
          point=${point}
          place=${`line,${index},${end}`}
          size=${size}
          label=${`${line.name}, ${end ? "to" : "from"}`}
        />`,
    )}
  </g>`;
}

/** What is being drawn, with the cross at which the keyboard adds the next point. */
export function Sketch({ points, cursor, size, isClosed }) {
  const shown = cursor ? [...points, cursor] : points;
  const cross = cursor && toPixels(cursor, size);
  return html`<g class="sketch">
    ${isClosed && shown.length > 2
      ? html`<polygon points=${listOf(shown, size)} fill=${ZONE_COLOR} stroke=${ZONE_COLOR} />`
      : html`<polyline points=${listOf(shown, size)} fill="none" stroke=${isClosed ? ZONE_COLOR : LINE_COLOR} />`}
    ${points.map((point, index) => html`<circle
      key=${index}
      class="dot"
      cx=${point[0] * size.width}
      cy=${point[1] * size.height}
      r="5"
    />`)}
    ${cross && html`<path
      class="cross"
      d=${`M ${cross[0] - 10} ${cross[1]} h 20 M ${cross[0]} ${cross[1] - 10} v 20`}
    />`}
  </g>`;
}
