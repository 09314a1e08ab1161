// Zones and lines as a list: names, options, and points as numbers for those who cannot drag.

import { marked } from "../../lib/marked.js";
import { html } from "../../lib/preact.js";
import { CheckField, ChoiceField, TextField, isAbout } from "../creation/fields.js";
import * as drafts from "./draft.js";

const ANCHORS = [["bottom", "the middle of its box's lower edge"], ["center", "the middle of its box"]];

/** x and y of a point, in percent of the picture. */
function PointFields({ label, point, onChange, onRemove }) {
  const input = (axis) => html`<input
    type="number"
    min="0"
    max="100"
    step="0.1"
    aria-label=${`${label}, ${axis ? "from the top" : "from the left"}, in percent`}
    value=${Number((point[axis] * 100).toFixed(2))}
    onChange=${(event) => {
      const { valueAsNumber } = event.currentTarget;
      if (!Number.isNaN(valueAsNumber)) onChange(point.with(axis, valueAsNumber / 100));
    }}
  />`;
  return html`<span class="point">
    <span class="quiet">${label}</span> ${input(0)} ${input(1)}
    ${onRemove && html`<button
      type="button"
      class="link"
      onClick=${onRemove}
      aria-label=${`Remove ${label}`}
    >×</button>`}
  </span>`;
}

function Points({ draft, place, labels, onChange }) {
  const points = drafts.pointsOf(draft, place);
  const isZone = place.kind === "zone";
  const remove = (index) => onChange(drafts.removePoint(draft, { ...place, point: index }));
  return html`<details class="points">
    <summary>Points, in percent from the left and from the top</summary>
    ${points.map(
      (point, index) => html`<${PointFields}
        key=${index}
        label=${labels?.[index] ?? `corner ${index + 1}`}
        point=${point}
        onChange=${(next) => onChange(drafts.movePoint(draft, { ...place, point: index }, next))}
        onRemove=${isZone && points.length > 3 ? () => remove(index) : null}
      />`,
    )}
    ${isZone && points.length < 64 && html`<button
      type="button"
      onClick=${() => onChange(drafts.splitEdge(draft, { ...place, point: points.length - 1 }))}
    >Add a corner</button>`}
  </details>`;
}

function Shape({ draft, place, onChange, problem, isSelected, onSelect, children, labels }) {
  const list = `${place.kind}s`;
  const shape = draft[list][place.index];
  const field = `${list}[${place.index}]`;
  const isOwn = isAbout(problem, field) && !isAbout(problem, `${field}.name`);
  return html`<li class=${isSelected ? "rule selected" : "rule"} onFocusIn=${() => onSelect(place)}>
    <div class="row">
      <${TextField}
        label=${place.kind === "zone" ? "Name of the zone" : "Name of the line"}
        field=${`${field}.name`}
        problem=${problem}
        value=${shape.name}
        maxlength="100"
        onInput=${(name) => onChange(drafts.rename(draft, place, name))}
      />
      ${children}
      <button
        type="button"
        aria-label=${`Remove ${shape.name}`}
        onClick=${() => onChange(drafts.removeShape(draft, place))}
      >Remove</button>
    </div>
    <${Points} ...${{ draft, place, labels, onChange }} />
    ${isOwn && html`<p class="field-problem" data-field=${field} tabindex="-1">${marked(problem.sentence)}</p>`}
  </li>`;
}

/**
 * @param {{draft: drafts.Draft, onChange: (draft: drafts.Draft) => void, problem: any,
 *   selected: drafts.Place | null, onSelect: (place: drafts.Place) => void}} props
 */
export function ShapeLists({ draft, onChange, problem, selected, onSelect }) {
  const common = (kind, index) => ({
    draft,
    place: { kind, index },
    onChange,
    problem,
    onSelect,
    isSelected: selected?.kind === kind && selected.index === index,
  });
  return html`<div class="shape-lists">
    <ul class="rules" aria-label="Zones">
      ${draft.zones.map((zone, index) => {
        const set = (options) => onChange(drafts.change(draft, "zones", index, options));
        return html`<${Shape} key=${index} ...${common("zone", index)}>
          <${ChoiceField}
            label="An object is in it if it holds"
            value=${zone.anchor ?? "bottom"}
            choices=${ANCHORS}
            onInput=${(anchor) => set({ anchor })}
          />
          <${CheckField}
            label="Ignore what is in it"
            value=${zone.ignore ?? false}
            onInput=${(ignore) => set({ ignore })}
          />
        <//>`;
      })}
    </ul>
    <ul class="rules" aria-label="Lines">
      ${draft.lines.map(
        (line, index) => html`<${Shape} key=${index} ...${common("line", index)} labels=${["from", "to"]}>
          <button
            type="button"
            onClick=${() => onChange(drafts.change(draft, "lines", index, { from: line.to, to: line.from }))}
          >Swap left and right</button>
        <//>`,
      )}
    </ul>
  </div>`;
}
