// The models of the model folder: how each is understood, or why not; and a try on one picture.

import { marked } from "../lib/marked.js";
import { html, useEffect, useState } from "../lib/preact.js";
import { bytes, count, fullTime } from "../lib/format.js";
import { link, setQuery } from "../lib/router.js";
import { can } from "../lib/session.js";
import { useGet } from "../lib/use_get.js";
import { Badge } from "../components/badge.js";
import { Empty, ProblemSentence, useTitle } from "../components/basics.js";
import { describeModel } from "../components/creation/detector.js";
import { ModelTrial, pathOf } from "../components/model_trial.js";

const STATES = {
  understood: ["✓", "done", "understood"],
  rejected: ["✕", "bad", "rejected"],
  not_examined: ["…", "wait", "not examined yet"],
};
const EXAMINING = 1_000; // ms between requests while models are examined

function StateOf({ model }) {
  const [sign, tone, word] = STATES[model.state] ?? ["?", "idle", model.state];
  return html`<${Badge} sign=${sign} tone=${tone}>${word}<//>`;
}

/** How pictures become its input, in one line. */
function describeInput({ width, height, is_dynamic: isDynamic, fit, colours, range, dtype }) {
  return `${width} × ${height}${isDynamic ? " or smaller" : ""}, ${fit}, ${colours}, 0 to ${range}, ${dtype}`;
}

/** On a narrow screen the model that is chosen is below the whole list. */
function reveal(section) {
  if (section && section.getBoundingClientRect().top > innerHeight / 2) section.scrollIntoView();
}

function Model({ name }) {
  const { data: model, problem, isLoading } = useGet(`models/${pathOf(name)}`);
  if (problem) return html`<${ProblemSentence} problem=${problem} />`;
  if (!model || isLoading) return html`<p class="quiet">Examining ${name}.</p>`;
  const labels = Object.entries(model.labels ?? {});
  const create = link("new", { model: name });
  const isStated = model.state === "rejected" && /`(layout|input)`/.test(model.error ?? ""); // a scenario can say it
  const facts = [
    ["Layout", model.layout],
    ["Input", model.input && describeInput(model.input)],
    ["Classes", model.classes && count(model.classes)],
    ["Computed by", [model.backend, model.precision].filter(Boolean).join(", ")],
    ["File", `${bytes(model.size)}, ${fullTime(model.modified)}`],
    ["SHA-256", model.digest],
  ];
  return html`<section class="stack model" aria-label=${name} ref=${reveal}>
    <h2 class="break">${name}</h2>
    <p><${StateOf} model=${model} /> ${marked(model.error)}</p>
    <dl class="model-facts">
      ${facts
        .filter(([, text]) => text)
        .map(([term, text]) => html`<div key=${term}><dt>${term}</dt><dd class="break">${text}</dd></div>`)}
    </dl>
    ${labels.length > 0 &&
    html`<details>
      <summary>Labels</summary>
      <p class="model-labels break">${labels.map(([, label]) => label).join(", ")}</p>
    </details>`}
    ${can.write && model.state === "understood" && html`<${ModelTrial} key=${name} name=${name} />`}
    ${can.write && model.state === "understood" && html`<p><a href=${create}>Create a scenario with this model</a></p>`}
    ${can.write && isStated && html`<p><a href=${create}>Create a scenario, and state it there</a></p>`}
  </section>`;
}

export default function ModelsPage({ query }) {
  useTitle("Models");
  const [waits, setWaits] = useState(false);
  const { data, problem, reload } = useGet("models", {}, { every: waits ? EXAMINING : null });
  const hasUnexamined = data?.items.some((model) => model.state === "not_examined") ?? false;
  useEffect(() => setWaits(hasUnexamined), [hasUnexamined]);
  const chosen = query.model;
  const hint = `Choose a model to see how it is understood${can.write ? ", and to try it on a picture" : ""}.`;
  if (!data) return html`<h1>Models</h1><${ProblemSentence}
    problem=${problem}
    retry=${reload}
  />${!problem && html`<p class="quiet">Examining the models.</p>`}`;
  if (!data.items.length)
    return html`<${Empty} title="No model is here">
      <p>${marked(data.note)}</p>
      <p>The detector objects brings its own model: <a href=${link("new")}>create a scenario</a> with it.</p>
    <//>`;
  return html`<h1>Models</h1>
    <p class="quiet" role="status">${marked(data.note?.replace(" Repeat the request.", " The page goes on by itself."))}</p>
    <${ProblemSentence} problem=${problem} retry=${reload} />
    <div class="model-columns">
      <ul class="model-list">
        ${data.items.map(
          (model) => html`<li key=${model.name} class=${model.name === chosen ? "chosen" : ""}>
            <button
              type="button"
              class="model-choice"
              aria-pressed=${model.name === chosen}
              onClick=${() => setQuery({ model: model.name })}
            >
              <span class="row row-between">
                <strong class="break">${model.name}</strong> <${StateOf} model=${model} />
              </span>
              <span class="quiet">
                ${model.state === "rejected" ? marked(model.error) : `${describeModel(model)} · ${bytes(model.size)}`}
              </span>
            </button>
          </li>`,
        )}
      </ul>
      ${chosen ? html`<${Model} key=${chosen} name=${chosen} />` : html`<p class="quiet">${hint}</p>`}
    </div>`;
}
