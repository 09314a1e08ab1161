// The detector and its options, as GET /detectors describes them.

import { marked } from "../../lib/marked.js";
import { html, useEffect, useState } from "../../lib/preact.js";
import { get } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { ChoiceField, TextField, WordsField } from "./fields.js";
import { SchemaForm } from "./schema.js";

/** Return how a model is understood, or why not, in one sentence. */
export function describeModel(model) {
  if (model.state === "rejected") return model.error ?? "It is rejected.";
  if (model.state === "not_examined") return "It is not examined yet.";
  const parts = [model.layout, model.input && `${model.input.width} × ${model.input.height}`];
  if (model.classes) parts.push(`${count(model.classes)} classes`);
  return parts.filter(Boolean).join(" · ");
}

function ModelField({ models, value, onInput, problem, field }) {
  if (!models?.items.length) {
    const hint = models ? marked(models.note ?? "") : "Reading the models.";
    return html`<${TextField}
      label="Model"
      field=${field}
      problem=${problem}
      value=${value ?? ""}
      onInput=${(text) => onInput(text || undefined)}
      placeholder="yolov8n.onnx"
      hint=${hint}
    />`;
  }
  const textOf = ({ name, state }) => (state === "understood" ? name : `${name} (${state.replace("_", " ")})`);
  const choices = [["", "Choose a model"], ...models.items.map((model) => [model.name, textOf(model)])];
  const nothing = html`A file of the model folder. <a href="#/models">Models</a> tells of each, and tries it.`;
  const chosen = models.items.find((each) => each.name === value);
  return html`<${ChoiceField}
    label="Model"
    field=${field}
    problem=${problem}
    value=${value ?? ""}
    choices=${choices}
    onInput=${(text) => onInput(text || undefined)}
    hint=${chosen ? marked(describeModel(chosen)) : nothing}
  />`;
}

/**
 * The choice of a detector, and its form.
 * @param {{detector: object, onChange: (detector: object) => void, problem: any}} props
 */
export function DetectorForm({ detector, onChange, problem }) {
  const [known, setKnown] = useState({ items: [], faults: [], problem: null });
  const [models, setModels] = useState(null);
  const [labels, setLabels] = useState(undefined);
  useEffect(() => {
    get("detectors").then(
      ({ items, faults }) =>
        setKnown({ items: items.filter(({ name }) => name !== "stored"), faults, problem: null }),
      (failed) => setKnown({ items: [], faults: [], problem: failed }),
    );
  }, []);
  useEffect(() => {
    if (detector.type !== "onnx" || models) return;
    get("models").then(setModels, (failed) => setModels({ items: [], note: failed.sentence }));
  }, [detector.type]);
  useEffect(() => {
    setLabels(undefined);
    if (detector.type !== "onnx" || !models?.items.some((each) => each.name === detector.model)) return undefined;
    const abort = new AbortController();
    const path = `models/${detector.model.split("/").map(encodeURIComponent).join("/")}`;
    get(path, undefined, { signal: abort.signal }).then(
      (model) => {
        const names = [...new Set(Object.values(model.labels ?? {}))];
        setLabels(names.length ? names : undefined);
      },
      () => {}, // the labels can be written without a list of them
    );
    return () => abort.abort();
  }, [detector.type, detector.model, models]);
  if (known.problem) return html`<p class="field-problem">${marked(known.problem.sentence)}</p>`;
  const chosen = known.items.find(({ name }) => name === detector.type);
  if (!chosen) return html`<p class="quiet">Reading the detectors.</p>`;
  const own = {
    model: (props) => html`<${ModelField} key="model" ...${props} models=${models} />`,
  };
  if (detector.type === "onnx")
    own.labels = (props) => html`<${WordsField}
      key="labels"
      ...${props}
      label="Labels"
      hint="Keep only these labels"
      choices=${labels}
    />`;
  return html`<div class="fields">
    <${ChoiceField}
      label="Detector"
      field="detector.type"
      problem=${problem}
      value=${detector.type}
      choices=${known.items.map(({ name, package: from }) => [name, from ? `${name} (${from})` : name])}
      onInput=${(type) => onChange({ type })}
      hint=${marked(chosen.description)}
    />
    <p class="hint">Labels: ${marked(chosen.labels)}</p>
    <${SchemaForm}
      key=${detector.type}
      schema=${chosen.config_schema}
      value=${withoutType(detector)}
      onChange=${(options) => onChange({ type: detector.type, ...options })}
      problem=${problem}
      field="detector"
      own=${own}
    />
    ${known.faults.map((fault) => html`<p key=${fault} class="field-problem">${marked(fault)}</p>`)}
  </div>`;
}

function withoutType({ type: _, ...options }) {
  return options;
}
