// The picture on which zones and lines are drawn, by pointer or by keyboard.

import { html, useLayoutEffect, useRef, useState } from "../../lib/preact.js";
import * as drafts from "./draft.js";
import { LineShape, Sketch, ZoneShape } from "./shapes.js";

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Return the step of an arrow key, as fractions of the picture; larger with Shift. Null for another key. */
function stepOf(event) {
  const step = STEPS[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey) return null;
  const size = event.shiftKey ? 0.05 : 0.005;
  return [step[0] * size, step[1] * size];
}

/** Follow the size at which an element is shown, in pixels. */
function useSize(ref) {
  const [size, setSize] = useState({ width: 640, height: 360 });
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([{ contentRect }]) => {
      const { width, height } = contentRect;
      if (width && height) setSize({ width, height });
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return size;
}

/**
 * @param {{src: string | null, aspect: number, draft: drafts.Draft, onChange: (draft: drafts.Draft) => void,
 *   tool: "zone" | "line" | null, onTool: (tool: "zone" | "line" | null) => void,
 *   selected: drafts.Place | null, onSelect: (place: drafts.Place | null) => void}} props
 */
export function ZoneCanvas({ src, aspect, draft, onChange, tool, onTool, selected, onSelect }) {
  const frame = useRef(null);
  const svg = useRef(null);
  const size = useSize(frame);
  const [sketch, setSketch] = useState([]);
  const [cursor, setCursor] = useState(null);
  const drag = useRef(null);
  // Before anything is painted: the next key is for the picture already.
  useLayoutEffect(() => {
    setSketch([]);
    setCursor(tool ? [0.5, 0.5] : null);
    if (tool) svg.current.focus();
  }, [tool]);

  const at = (event) => {
    const box = svg.current.getBoundingClientRect();
    return drafts.clamp([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
  };
  const finish = (points) => {
    const isDone = tool === "zone" ? points.length >= 3 : points.length === 2;
    if (!isDone) return;
    onChange(tool === "zone" ? drafts.addZone(draft, points) : drafts.addLine(draft, points));
    onSelect({ kind: tool, index: draft[`${tool}s`].length });
    onTool(null);
  };
  const isNear = (one, two) => Math.hypot((one[0] - two[0]) * size.width, (one[1] - two[1]) * size.height) < 12;
  const addPoint = (point) => {
    if (tool === "zone" && sketch.length >= 3 && isNear(point, sketch[0])) return finish(sketch);
    if (sketch.length && isNear(point, sketch.at(-1))) return undefined; // the second click of a double click
    const points = [...sketch, point];
    setSketch(points);
    return tool === "line" ? finish(points) : undefined;
  };

  const onPointerDown = (event) => {
    if (event.button !== 0) return;
    if (tool) {
      event.preventDefault();
      svg.current.focus();
      addPoint(at(event));
      return;
    }
    const [kind, index, point] = event.target.closest("[data-place]")?.dataset.place.split(",") ?? [];
    if (kind === undefined) {
      onSelect(null);
      return;
    }
    const place = { kind, index: Number(index), point: point === undefined ? undefined : Number(point) };
    drag.current = { place, start: at(event), draft };
    svg.current.setPointerCapture(event.pointerId);
    onSelect({ kind, index: place.index });
  };
  const onPointerMove = (event) => {
    const now = at(event);
    if (tool) setCursor(now);
    if (!drag.current) return;
    const { place, start, draft: before } = drag.current;
    onChange(
      place.point === undefined
        ? drafts.moveShape(before, place, [now[0] - start[0], now[1] - start[1]])
        : drafts.movePoint(before, place, now),
    );
  };
  const onPointerUp = () => (drag.current = null);

  const onKeyDown = (event) => {
    const step = stepOf(event);
    if (tool) drawByKey(event, step);
    else changeByKey(event, step);
  };
  const drawByKey = (event, step) => {
    if (step) setCursor(drafts.clamp([cursor[0] + step[0], cursor[1] + step[1]]));
    else if (event.key === " ") addPoint(cursor);
    else if (event.key === "Enter") finish(sketch.length < (tool === "zone" ? 3 : 2) ? [...sketch, cursor] : sketch);
    else if (event.key === "Escape") onTool(null);
    else if (event.key === "Delete" || event.key === "Backspace") setSketch(sketch.slice(0, -1));
    else return;
    event.preventDefault();
  };
  const changeByKey = (event, step) => {
    const [kind, index, point] = event.target.dataset?.place?.split(",") ?? [];
    if (event.key === "Escape") onSelect(null);
    if (kind === undefined) return;
    const place = { kind, index: Number(index), point: point === undefined ? undefined : Number(point) };
    if (step && place.point === undefined) onChange(drafts.moveShape(draft, place, step));
    else if (step) {
      const [x, y] = drafts.pointsOf(draft, place)[place.point];
      onChange(drafts.movePoint(draft, place, [x + step[0], y + step[1]]));
    } else if (event.key === "Delete" || event.key === "Backspace") {
      const next = place.point === undefined ? drafts.removeShape(draft, place) : drafts.removePoint(draft, place);
      if (next[`${kind}s`].length < draft[`${kind}s`].length) onSelect(null);
      onChange(next);
      svg.current.focus();
    } else if (event.key === "Enter" || event.key === " ") onSelect({ kind, index: place.index });
    else return;
    event.preventDefault();
  };

  const help = tool
    ? "Arrow keys move the cross, Space adds a point, Enter closes, Delete takes the last point back, Escape cancels."
    : "Tab goes from shape to shape and from corner to corner. Arrow keys move, Delete removes.";
  const isSelected = (kind, index) => selected?.kind === kind && selected.index === index;
  return html`<div class="zone-canvas">
    <div class="zone-picture" ref=${frame} style=${{ aspectRatio: String(aspect), maxWidth: `calc(75vh * ${aspect})` }}>
      ${src ? html`<img
        src=${src}
        alt=""
        draggable=${false}
      />` : html`<p class="quiet">There is no picture yet. Numbers can be written below.</p>`}
      <svg
        ref=${svg}
        viewBox=${`0 0 ${size.width} ${size.height}`}
        class=${tool ? "drawing" : ""}
        role="application"
        aria-label=${`Zones and lines on the picture. ${help}`}
        tabindex="0"
        onPointerDown=${onPointerDown}
        onPointerMove=${onPointerMove}
        onPointerUp=${onPointerUp}
        onPointerCancel=${onPointerUp}
        onDblClick=${() => tool && finish(sketch)}
        onKeyDown=${onKeyDown}
      >
        ${draft.zones.map((zone, index) => html`<${ZoneShape}
          key=${`z${index}`}
          ...${{ zone, index, size }}
          isSelected=${isSelected("zone", index)}
        />`)}
        ${draft.lines.map((line, index) => html`<${LineShape}
          key=${`l${index}`}
          ...${{ line, index, size }}
          isSelected=${isSelected("line", index)}
        />`)}
        ${tool && html`<${Sketch} points=${sketch} cursor=${cursor} size=${size} isClosed=${tool === "zone"} />`}
      </svg>
    </div>
    <p class="hint" aria-live="polite">
      ${tool ? help : "Drag shapes and corners, or use Tab, arrow keys and Delete."}
    </p>
  </div>`;
}
