// The whole editor: picture, lists and alerts. Used for a scenario, and for a new one.

import { html, useRef, useState } from "../../lib/preact.js";
import { AlertsForm } from "../creation/alerts.js";
import { ZoneCanvas } from "./canvas.js";
import * as drafts from "./draft.js";
import { ShapeLists } from "./lists.js";

const MOST = 32;
const ONE_STEP = 500; // ms; changes that follow each other faster, as in a drag, are undone as one
const RECTANGLE = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]];

/** Return what is undone by a step of its own when it changes: the number of shapes and corners. */
function sizeOf({ zones, lines, alerts }) {
  return [zones.length, lines.length, alerts.length, ...zones.map(({ polygon }) => polygon.length)].join();
}

/** Return the drafts before this one: `keep` notes one before it changes to `next`, `undo` returns the latest. */
function useHistory() {
  const history = useRef({ drafts: [], at: 0 });
  const keep = (draft, next) => {
    const now = performance.now();
    const isStep = now - history.current.at > ONE_STEP || sizeOf(draft) !== sizeOf(next);
    if (isStep) history.current.drafts.push(draft);
    history.current.at = now;
  };
  return { keep, undo: () => history.current.drafts.pop(), isEmpty: !history.current.drafts.length };
}

/**
 * @param {{src: string | null, aspect: number, draft: drafts.Draft, onChange: (draft: drafts.Draft) => void,
 *   problem: any, labels?: string[], trial?: any, children?: any}} props `children` stand below the picture, and
 *   `trial` below them if there is room, else below the lists
 */
export function ZoneEditor({ src, aspect, draft, onChange, problem, labels, trial, children }) {
  const [tool, setTool] = useState(null);
  const [selected, setSelected] = useState(null);
  const history = useHistory();
  const undo = () => {
    const earlier = history.undo();
    if (!earlier) return;
    setSelected(null);
    onChange(earlier);
  };
  const undoByKey = (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key !== "z" || event.target instanceof HTMLInputElement) return;
    event.preventDefault();
    undo();
  };
  const change = (next) => {
    history.keep(draft, next);
    const isThere = selected && next[`${selected.kind}s`].length > selected.index;
    if (selected && !isThere) setSelected(null);
    onChange(next);
  };
  const choose = (kind) => setTool(tool === kind ? null : kind);
  const addRectangle = () => {
    change(drafts.addZone(draft, RECTANGLE));
    setSelected({ kind: "zone", index: draft.zones.length });
  };
  const isFull = (list) => draft[list].length >= MOST;
  return html`<div class="zone-editor" onKeyDown=${undoByKey}>
    <div class="zone-drawing">
      <div class="actions" role="group" aria-label="Draw">
        <button
          type="button"
          aria-pressed=${tool === "zone"}
          disabled=${isFull("zones")}
          onClick=${() => choose("zone")}
        >Draw a zone</button>
        <button
          type="button"
          aria-pressed=${tool === "line"}
          disabled=${isFull("lines")}
          onClick=${() => choose("line")}
        >Draw a line</button>
        <button type="button" disabled=${isFull("zones")} onClick=${addRectangle}>Add a rectangle</button>
        <button type="button" disabled=${history.isEmpty} onClick=${undo}>Undo</button>
      </div>
      <${ZoneCanvas}
        ...${{ src, aspect, draft, tool, selected }}
        onChange=${change}
        onTool=${setTool}
        onSelect=${setSelected}
      />
      ${children}
    </div>
    <div class="zone-rules">
      ${draft.zones.length + draft.lines.length === 0 &&
      html`<p class="quiet">
        A zone tells who is in a part of the picture, and for how long. A line tells who crosses it, and to which side.
      </p>`}
      <${ShapeLists} ...${{ draft, problem, selected }} onChange=${change} onSelect=${setSelected} />
      <${AlertsForm} draft=${draft} onChange=${change} problem=${problem} labels=${labels} />
    </div>
    ${trial && html`<div class="zone-trial">${trial}</div>`}
  </div>`;
}
