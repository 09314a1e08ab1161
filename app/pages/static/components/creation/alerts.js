// Alerts, and who is told of events.

import { marked } from "../../lib/marked.js";
import { html, useEffect, useState } from "../../lib/preact.js";
import { get } from "../../lib/api.js";
import { addAlert, change, removeShape, rename } from "../zones/draft.js";
import { CheckField, ChoiceField, NumberField, TextField, WordsField, isAbout } from "./fields.js";

const KINDS = {
  alert: "alerts",
  zone: "visits to zones",
  line: "crossings of lines",
  object: "objects",
  presence: "labels",
};
const NO_CHANNEL =
  "There is no channel. Name a file with channels in VA_CHANNELS_FILE; docs/notifications.md shows one.";

function Alert({ draft, index, onChange, problem, labels }) {
  const alert = draft.alerts[index];
  const field = `alerts[${index}]`;
  const set = (options) => onChange(change(draft, "alerts", index, options));
  const number = (name, label, hint, rest) => html`<${NumberField}
    label=${label}
    field=${`${field}.${name}`}
    problem=${problem}
    value=${alert[name] || undefined}
    placeholder="0"
    min="0"
    onInput=${(value) => set({ [name]: value })}
    hint=${hint}
    ...${rest}
  />`;
  const target = alert.zone ? `zone ${alert.zone}` : alert.line ? `line ${alert.line}` : "";
  const targets = [
    ["", "in the picture"],
    ...draft.zones.filter((zone) => !zone.ignore).map(({ name }) => [`zone ${name}`, `in the zone ${name}`]),
    ...draft.lines.map(({ name }) => [`line ${name}`, `over the line ${name}`]),
  ];
  const aim = (text) => {
    const [, kind, name] = /^(zone|line) (.*)$/s.exec(text) ?? [];
    set({
      zone: kind === "zone" ? name : undefined,
      line: kind === "line" ? name : undefined,
      direction: kind === "line" ? alert.direction : undefined,
      min_seconds: kind === "line" ? undefined : alert.min_seconds,
    });
  };
  return html`<li class="rule">
    <div class="row">
      <${TextField}
        label="Name of the alert"
        field=${`${field}.name`}
        problem=${problem}
        value=${alert.name}
        maxlength="100"
        onInput=${(name) => onChange(rename(draft, { kind: "alert", index }, name))}
      />
      <${ChoiceField}
        label="Where"
        field=${`${field}.${alert.line ? "line" : "zone"}`}
        problem=${problem}
        value=${target}
        choices=${targets}
        onInput=${aim}
      />
      ${alert.line &&
      html`<${ChoiceField}
        label="Direction"
        field=${`${field}.direction`}
        problem=${problem}
        value=${alert.direction ?? ""}
        choices=${[["", "both"], ["left", "to the left"], ["right", "to the right"]]}
        onInput=${(direction) => set({ direction: direction || undefined })}
      />`}
    </div>
    <${WordsField}
      label="Labels"
      field=${`${field}.labels`}
      problem=${problem}
      value=${alert.labels ?? undefined}
      choices=${labels}
      onInput=${(words) => set({ labels: words })}
    />
    <div class="row">
      ${!alert.line && number("min_seconds", "Stays at least (seconds)", "")}
      ${number("cooldown_seconds", "Then silent for (seconds)", "")}
      ${number("min_confidence", "Least confidence", "", { max: 1 })}
      <button
        type="button"
        onClick=${() => onChange(removeShape(draft, { kind: "alert", index }))}
        aria-label=${`Remove ${alert.name}`}
      >Remove</button>
    </div>
    ${problem?.field === field && html`<p class="field-problem">${marked(problem.sentence)}</p>`}
  </li>`;
}

/** The alerts of a draft. `labels` are those that are known, for a list to choose from. */
export function AlertsForm({ draft, onChange, problem, labels }) {
  return html`<fieldset class="group">
    <legend>Alerts</legend>
    ${draft.alerts.length === 0 &&
    html`<p class="hint">An alert fires once for each stay or crossing that meets it.</p>`}
    <ul class="rules">
      ${draft.alerts.map((_, index) => html`<${Alert}
        key=${index}
        ...${{ draft, index, onChange, problem, labels }}
      />`)}
    </ul>
    ${problem?.field === "alerts" && html`<p class="field-problem">${marked(problem.sentence)}</p>`}
    <button type="button" onClick=${() => onChange(addAlert(draft))}>Add an alert</button>
  </fieldset>`;
}

/** Which channels are told, and of what. */
export function NotifyForm({ notify, onChange, problem }) {
  const [state, setState] = useState({ channels: null, problem: null });
  useEffect(() => {
    get("channels").then(
      ({ items }) => setState({ channels: items.map(({ name }) => name), problem: null }),
      (failed) => setState({ channels: [], problem: failed }),
    );
  }, []);
  const { channels } = state;
  if (!channels) return null;
  const chosen = notify?.channels ?? [];
  const kinds = notify?.on ?? ["alert"];
  const toggle = (list, name, isOn) => (isOn ? [...list, name] : list.filter((each) => each !== name));
  const setChannels = (next) => onChange(next.length ? { ...notify, channels: next } : null);
  return html`<fieldset class="group">
    <legend>Notifications</legend>
    ${channels.length === 0 &&
    html`<p class="hint">${marked(state.problem?.sentence ?? NO_CHANNEL)}</p>`}
    ${channels.map(
      (name) => html`<${CheckField}
        key=${name}
        label=${`Tell ${name}`}
        field="notify.channels"
        value=${chosen.includes(name)}
        onInput=${(isOn) => setChannels(toggle(chosen, name, isOn))}
      />`,
    )}
    ${notify &&
    html`<p>Of</p>
      ${Object.entries(KINDS).map(
        ([kind, text]) => html`<${CheckField}
          key=${kind}
          label=${text}
          field="notify.on"
          value=${kinds.includes(kind)}
          onInput=${(isOn) => onChange({ ...notify, on: toggle(kinds, kind, isOn) })}
        />`,
      )}
      <${CheckField}
        label="Also of recordings"
        field="notify.recordings"
        value=${notify.recordings ?? false}
        onInput=${(isOn) => onChange({ ...notify, recordings: isOn })}
        hint="Otherwise only of live sources."
      />`}
    ${isAbout(problem, "notify") && html`<p class="field-problem">${marked(problem.sentence)}</p>`}
  </fieldset>`;
}
