/** A new batch: which files, what to find, and what their names tell. */
import { post } from "../../lib/api.js";
import { html, useRef, useState } from "../../lib/preact.js";
import { Copyable, ProblemSentence } from "../basics.js";
import { DetectorForm } from "../creation/detector.js";
import { CheckField, NumberField, Part, TextField, tie } from "../creation/fields.js";
import { SamplingForm, TrackingForm } from "../creation/options.js";
import { bodyOf, curlOf, emptyForm, idsOfBodies } from "../creation/request.js";

const EMPTY = { sources: "", name: "", watch: false, at_once: 4, recorded_at: "", timezone: localZone() };
const DATES = /^(recorded_at|timezone)\b/;
const MORE = /^scenario\.(tracking|presence)\b/;

function localZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** Return the body of POST /batches. */
function batchBody(batch, form) {
  const { source: _, ...scenario } = bodyOf(form);
  const body = { sources: batch.sources.trim(), scenario, watch: batch.watch, at_once: batch.at_once ?? 4 };
  if (batch.name.trim()) body.name = batch.name.trim();
  if (batch.recorded_at.trim()) Object.assign(body, { recorded_at: batch.recorded_at.trim(), timezone: batch.timezone });
  return body;
}

/** The fields of a scenario say `detector`, the API says `scenario.detector`. */
function ofScenario(problem) {
  if (!problem?.field?.startsWith("scenario.")) return null;
  return { sentence: problem.sentence, field: problem.field.slice("scenario.".length) };
}

export function BatchForm({ onCreated, onCancel }) {
  const [batch, setBatch] = useState(EMPTY);
  const [form, setForm] = useState(() => emptyForm({}));
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const idOf = useRef(null);
  idOf.current ??= idsOfBodies();
  const change = (changed) => (setBatch((old) => ({ ...old, ...changed })), setProblem(null));
  const tied = tie(batch, change, problem);
  const set = (changed) => (setForm((old) => ({ ...old, ...changed })), setProblem(null));
  const body = batchBody(batch, form);
  const inner = ofScenario(problem);
  const create = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      onCreated(await post("batches", { ...body, id: idOf.current(body) }));
    } catch (failed) {
      setProblem(failed);
      setBusy(false);
    }
  };
  return html`<form class="new-scenario stack" aria-label="A new batch" onSubmit=${create} noValidate>
    <${TextField}
      label="Files"
      ...${tied("sources")}
      placeholder="yard/**/*.mp4"
      hint=${html`Below the media folder. <code>*</code> stands for any part of a name, <code>**</code> for any number of folders.`}
    />
    <${CheckField}
      label="Watch the folder"
      ...${tied("watch")}
      hint="Recordings that come later follow once they stop growing."
    />
    <${DetectorForm} detector=${form.detector} onChange=${(detector) => set({ detector })} problem=${inner} />
    <${SamplingForm} ...${{ form, set }} problem=${inner} />
    <${TextField}
      label="Name of the batch"
      ...${tied("name")}
      maxlength="200"
    />
    <${Part} title="Dates in the files' names" isOpen=${DATES.test(problem?.field ?? "")}>
      <div class="row">
        <${TextField}
          label="Pattern"
          ...${tied("recorded_at")}
          placeholder="cam1_%Y%m%d-%H%M%S"
          hint="Of the name without its ending. Events then have a date."
        />
        <${TextField}
          label="Time zone of the dates"
          ...${tied("timezone")}
        />
      </div>
    <//>
    <${Part} title="More" isOpen=${MORE.test(problem?.field ?? "") || problem?.field === "at_once"}>
      <div class="stack">
        <${NumberField}
          label="Scenarios at once"
          ...${tied("at_once")}
          min="1"
          max="1000"
          step="1"
          hint="The others wait. Cameras come first in any case."
        />
        <${TrackingForm} ...${{ form, set }} problem=${inner} />
      </div>
    <//>
    <details>
      <summary>The request, as a command line</summary>
      <${Copyable} text=${curlOf("batches", body)} />
    </details>
    <${ProblemSentence} problem=${problem} />
    <div class="actions">
      <button type="button" onClick=${onCancel}>Cancel</button>
      <button type="submit" class="primary" disabled=${isBusy || !batch.sources.trim()}>
        ${isBusy ? "Creating" : "Analyse these files"}
      </button>
    </div>
  </form>`;
}
