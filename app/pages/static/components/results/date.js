/** When a recording was made, and a dialog that changes it. */
import { patch } from "../../lib/api.js";
import { fullTime, zone } from "../../lib/format.js";
import { html, useState } from "../../lib/preact.js";
import { can } from "../../lib/session.js";
import { ProblemSentence } from "../basics.js";
import { TextField } from "../creation/fields.js";
import { Dialog } from "../dialog.js";

/** A live source has the dates of its frames, and footage that is asked again those of its scenario. */
export function RecordedAt({ scenario, path, reload }) {
  const [isOpen, setOpen] = useState(false);
  const { recorded_at: date } = scenario;
  const canChange = can.write && scenario.state === "inactive"; // else it would be refused
  if (date === null && !canChange) return null;
  return html`<p class="row small">
    <span class=${date === null ? "quiet" : ""}>
      ${date === null ? "It is not known when it was recorded." : html`Recorded at ${fullTime(date)}`}
    </span>
    ${canChange &&
    html`<button type="button" class="link" onClick=${() => setOpen(true)}>
      ${date === null ? "Give it a date" : "Change the date"}
    </button>`}
    ${isOpen && html`<${DateDialog} ...${{ date, path, reload }} onClose=${() => setOpen(false)} />`}
  </p>`;
}

function DateDialog({ date, path, reload, onClose }) {
  const before = date === null ? "" : localText(new Date(date));
  const [text, setText] = useState(before);
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const change = async (recorded_at) => {
    setBusy(true);
    try {
      await patch(path, { recorded_at });
      reload();
      onClose();
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  const submit = (event) => {
    event.preventDefault();
    // What was not changed is not sent: in the hour that occurs twice, the text stands for two moments.
    if (text === before) onClose();
    else change(new Date(text).toISOString());
  };
  return html`<${Dialog} title="When was it recorded?" onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <${TextField}
        label="Recorded at"
        type="datetime-local"
        step=${before.includes(".") ? "0.001" : "1"}
        required
        field="recorded_at"
        problem=${problem}
        value=${text}
        onInput=${setText}
        hint=${`The time of its first frame, in your time zone (${zone(date ?? new Date())}). The dates of its events follow.`}
      />
      <${ProblemSentence} problem=${problem?.field === "recorded_at" ? null : problem} />
      <div class="actions">
        <button type="button" onClick=${onClose}>Cancel</button>
        ${date !== null &&
        html`<button type="button" disabled=${isBusy} onClick=${() => change(null)}>Remove the date</button>`}
        <button type="submit" class="primary" disabled=${isBusy}>Save</button>
      </div>
    </form>
  <//>`;
}

/** Return a date as a field of the type datetime-local has it: "2026-01-31T10:30:04". */
function localText(date) {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().replace(/(\.000)?Z$/, "");
}
