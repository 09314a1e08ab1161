// A new scenario: source, detector, frames, and what few need. The request is shown as a command line, too.

import { html, useRef, useState } from "../lib/preact.js";
import { post } from "../lib/api.js";
import { go, link } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Copyable, Empty, ProblemSentence, useTitle } from "../components/basics.js";
import { CameraForm } from "../components/creation/camera.js";
import { NotifyForm } from "../components/creation/alerts.js";
import { DetectorForm } from "../components/creation/detector.js";
import { Part } from "../components/creation/fields.js";
import { RecordingForm } from "../components/creation/media.js";
import { NameForm, RareForm, SamplingForm, TrackingForm } from "../components/creation/options.js";
import { bodyOf, curlOf, emptyForm, formSource, idsOfBodies } from "../components/creation/request.js";
import { SourceTrial } from "../components/creation/trial.js";
import { ZoneEditor } from "../components/zones/editor.js";

const FIRST = { recording: "Choose a recording first.", camera: "Write the camera's address first." };
const KINDS = [["recording", "A recording"], ["camera", "A camera"]];
/** Fields of the parts that are closed at first. */
const MORE = /^(tracking|presence|notify|restart|track|aspect|recorded_at)\b/;
const RULES = /^(zones|lines|alerts)\b/;

/** Move the focus to the control of a field, if there is one. */
function showField(page, field) {
  const control = page?.querySelector(`[data-field="${CSS.escape(field)}"]`);
  control?.focus({ preventScroll: true });
  control?.scrollIntoView({ block: "center" });
}

/** Enter in a field creates nothing: there is a button for that. */
function keepEnter(event) {
  if (event.key === "Enter" && event.target instanceof HTMLInputElement) event.preventDefault();
}

function Kinds({ value, onChange }) {
  return html`<div class="row kinds" role="group" aria-label="Kind of source">
    ${KINDS.map(
      ([kind, text]) => html`<button
        key=${kind}
        type="button"
        aria-pressed=${value === kind}
        onClick=${() => onChange(kind)}
      >${text}</button>`,
    )}
  </div>`;
}

function Created({ scenario, onAgain }) {
  return html`<section class="note stack" role="status">
    <p>The scenario is created. This is to know of it:</p>
    <ul>
      ${scenario.warnings.map(({ code, text }) => html`<li key=${code}>${text}</li>`)}
    </ul>
    <div class="row">
      <a class="button primary" href=${link(`scenarios/${scenario.id}`)}>Open the scenario</a>
      <button type="button" onClick=${onAgain}>Create another one</button>
    </div>
  </section>`;
}

function Section({ title, children }) {
  return html`<section class="form-section"><h2>${title}</h2>${children}</section>`;
}

function NewForm({ query }) {
  const [form, setForm] = useState(() => emptyForm(query));
  const [tried, setTried] = useState(null);
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const [created, setCreated] = useState(null);
  const idOf = useRef(null);
  idOf.current ??= idsOfBodies();
  const page = useRef(null);
  const set = (change) => {
    setForm((old) => ({ ...old, ...change }));
    setProblem(null);
  };
  const source = formSource(form);
  const body = bodyOf(form);
  const create = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const scenario = await post("scenarios", { ...body, id: idOf.current(body) });
      if (scenario.warnings?.length) setCreated(scenario);
      else go(link(`scenarios/${scenario.id}`));
    } catch (failed) {
      setProblem(failed);
      if (failed.field) setTimeout(() => showField(page.current, failed.field)); // when its sentence is there
    } finally {
      setBusy(false);
    }
  };
  if (created) return html`<${Created} scenario=${created} onAgain=${() => setCreated(null)} />`;
  const { media } = tried ?? {};
  const aspect = media ? (media.display_aspect ?? media.width / media.height) : 16 / 9;
  const hasPassword = form.kind === "camera" && form.camera.password;
  return html`<form ref=${page} class="new-scenario" onSubmit=${create} onKeyDown=${keepEnter} noValidate>
    <${Section} title="Source">
      <${Kinds} value=${form.kind} onChange=${(next) => set({ kind: next, restart: "" })} />
      ${form.kind === "recording"
        ? html`<${RecordingForm}
          value=${form.recording}
          onChange=${(path) => set({ recording: path })}
          problem=${problem}
        />`
        : html`<${CameraForm} camera=${form.camera} onChange=${(camera) => set({ camera })} problem=${problem} />`}
      <${SourceTrial}
        source=${source}
        track=${form.track}
        isAutomatic=${form.kind === "recording"}
        tried=${tried}
        onTried=${setTried}
      />
    <//>
    <${Section} title="What to find">
      <${DetectorForm} detector=${form.detector} onChange=${(detector) => set({ detector })} problem=${problem} />
    <//>
    <${Section} title="How">
      <${SamplingForm} ...${{ form, set, problem }} />
      <${NameForm} ...${{ form, set, problem }} />
      <${Part} title="Zones, lines and alerts" isOpen=${RULES.test(problem?.field ?? "")}>
        ${!tried && html`<p class="hint">Test the source to draw on its picture. They can be drawn later, too.</p>`}
        <${ZoneEditor}
          src=${tried && `data:image/jpeg;base64,${tried.picture}`}
          aspect=${aspect}
          draft=${form.draft}
          onChange=${(draft) => set({ draft })}
          problem=${problem}
          labels=${form.detector.labels}
        />
      <//>
      <${Part} title="More" isOpen=${MORE.test(problem?.field ?? "")}>
        <div class="stack">
          <${TrackingForm} ...${{ form, set, problem }} />
          <${NotifyForm} notify=${form.notify} onChange=${(notify) => set({ notify })} problem=${problem} />
          <${RareForm} ...${{ form, set, problem }} />
        </div>
      <//>
      <details>
        <summary>The request, as a command line</summary>
        <${Copyable} text=${curlOf("scenarios", bodyOf(form, true))} />
        ${hasPassword && html`<p class="hint">Write the password in place of PASSWORD, percent-encoded.</p>`}
      </details>
    <//>
    <div class="create">
      <${ProblemSentence} problem=${problem} />
      <div class="actions">
        <button
          type="submit"
          class="primary"
          disabled=${isBusy || !source}
        >${isBusy ? "Creating" : "Create the scenario"}</button>
        ${!source && html`<span class="quiet">${FIRST[form.kind]}</span>`}
      </div>
    </div>
  </form>`;
}

export default function NewPage({ query }) {
  useTitle("New scenario");
  if (!can.write)
    return html`<${Empty} title="New scenario">
      <p>Only those who may create scenarios can do this. Log in with a key that may.</p>
    <//>`;
  return html`<h1>New scenario</h1>
    <${NewForm} query=${query} />`;
}
