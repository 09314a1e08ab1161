// A model on one picture: the picture with its boxes, and a list of what was found.

import { html, useEffect, useState } from "../lib/preact.js";
import { post } from "../lib/api.js";
import { colorOf } from "../lib/colors.js";
import { confidence } from "../lib/format.js";
import { ProblemSentence } from "./basics.js";
import { Drop } from "./drop.js";
import { NumberField } from "./creation/fields.js";

const LEAST = 0.25; // confidence

/** Return the part of a path that names a model: slashes stay. */
export const pathOf = (name) => name.split("/").map(encodeURIComponent).join("/");

function summarize({ detections, seconds, backend, precision }) {
  const how = `in ${seconds} s by ${backend} (${precision}).`;
  if (detections.length) return `${detections.length} found ${how}`;
  return `Nothing was found ${how} Try a lower confidence, or another picture.`;
}

function Box({ detection, width }) {
  const [left, top, right, bottom] = detection.box;
  const color = colorOf(detection.label);
  const size = width / 50;
  const text = `${detection.label} ${confidence(detection.confidence)}`;
  const y = Math.max(size, top - size / 3);
  return html`<g>
    <rect
      x=${left}
      y=${top}
      width=${right - left}
      height=${bottom - top}
      fill="none"
      stroke=${color}
      stroke-width="2"
      vector-effect="non-scaling-stroke"
    />
    <text class="box-name" x=${left} y=${y} font-size=${size} fill=${color}>${text}</text>
  </g>`;
}

/** @param {{name: string}} props the model's name */
export function ModelTrial({ name }) {
  const [file, setFile] = useState(null);
  const [least, setLeast] = useState(LEAST);
  const [state, setState] = useState({ isBusy: false, found: null, problem: null });
  const [address, setAddress] = useState(null);
  useEffect(() => {
    if (!file) return undefined;
    const shown = URL.createObjectURL(file);
    setAddress(shown);
    return () => URL.revokeObjectURL(shown);
  }, [file]);
  useEffect(() => {
    if (!file) return undefined;
    const abort = new AbortController();
    setState({ isBusy: true, found: null, problem: null });
    const options = { params: { confidence: least }, signal: abort.signal };
    post(`models/${pathOf(name)}/try`, file, options).then(
      (found) => setState({ isBusy: false, found, problem: null }),
      (problem) => problem.name !== "AbortError" && setState({ isBusy: false, found: null, problem }),
    );
    return () => abort.abort();
  }, [file, least, name]);
  const { isBusy, found, problem } = state;
  return html`<section class="stack model-trial" aria-label="Try on a picture">
    <h3>Try on a picture</h3>
    <${Drop}
      text="Drop a JPEG or PNG here, or"
      button="Choose a picture"
      accept="image/jpeg,image/png"
      onFile=${setFile}
    />
    <${NumberField}
      label="Least confidence"
      value=${least}
      min="0"
      max="1"
      step="0.05"
      onInput=${(value) => setLeast(value ?? LEAST)}
    />
    <div aria-live="polite">
      ${isBusy && html`<p class="quiet">The model looks at ${file.name}.</p>`}
      <${ProblemSentence} problem=${problem} />
      ${found && html`<p>${summarize(found)}</p>`}
    </div>
    ${file &&
    address &&
    html`<div class="tried-picture">
      <img src=${address} alt=${`The picture ${file.name}`} />
      ${found &&
      html`<svg viewBox=${`0 0 ${found.width} ${found.height}`} role="img" aria-label="Boxes of what was found">
        ${found.detections.map((detection, index) => html`<${Box}
          key=${index}
          detection=${detection}
          width=${found.width}
        />`)}
      </svg>`}
    </div>`}
    ${found?.detections.length > 0 &&
    html`<div class="scroll" tabindex="0" role="region" aria-label="What was found">
      <table>
        <thead>
          <tr>
            <th>Label</th>
            <th class="number">Confidence</th>
            <th class="number">Box: left, top, right, bottom</th>
          </tr>
        </thead>
        <tbody>
          ${found.detections.map(
            (each, index) => html`<tr key=${index}>
              <td class="break">${each.label}</td>
              <td class="number">${confidence(each.confidence)}</td>
              <td class="number">${each.box.map(Math.round).join(", ")}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`}
  </section>`;
}
