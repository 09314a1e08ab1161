// Sampling, tracking, name, tags, and what few need.

import { html } from "../../lib/preact.js";
import { zone } from "../../lib/format.js";
import { CheckField, ChoiceField, NumberField, TextField, tie } from "./fields.js";
import { findsLabels, findsObjects, trackingOf } from "./request.js";

const MODES = {
  fps: "A number of frames each second",
  all: "Every frame",
  keyframes: "Key frames only, which costs the least",
};

const HINTS = {
  fps: "2 are enough to see who is there. Use 5 or more to follow fast things, and to see them cross lines.",
  all: "Takes longest. Use it if each frame counts.",
  keyframes: "The encoder decides how far apart they are, often 1 to 10 seconds: too far to follow what moves.",
};

/** Which frames are analysed. */
export function SamplingForm({ form, set, problem }) {
  const { sampling } = form;
  const modes = form.kind === "camera" ? ["fps", "keyframes", "all"] : ["fps", "all", "keyframes"];
  return html`<div class="row">
    <${ChoiceField}
      label="Frames to analyse"
      field="sampling.mode"
      problem=${problem}
      value=${sampling.mode}
      choices=${modes.map((mode) => [mode, MODES[mode]])}
      onInput=${(mode) => set({ sampling: mode === "fps" ? { mode, fps: 2 } : { mode } })}
      hint=${HINTS[sampling.mode]}
    />
    ${sampling.mode === "fps" &&
    html`<${NumberField}
      label="Frames each second"
      field="sampling.fps"
      problem=${problem}
      value=${sampling.fps}
      min="0"
      max="240"
      onInput=${(fps) => set({ sampling: { mode: "fps", fps } })}
    />`}
  </div>`;
}

/** Name and tags. */
export function NameForm({ form, set, problem }) {
  const tied = tie(form, set, problem);
  return html`<div class="row">
    <${TextField}
      label="Name"
      ...${tied("name")}
      maxlength="200"
      hint="For people; two scenarios may have the same."
    />
    <${TextField}
      label="Tags"
      ...${tied("tags")}
      placeholder="outside, gate 2"
      hint="With commas between."
    />
  </div>`;
}

/** How objects are followed. */
export function TrackingForm({ form, set, problem }) {
  const asked = trackingOf(form);
  const follows = asked === undefined ? findsObjects(form) : asked !== null;
  const tracking = asked ?? {};
  const change = (options) => {
    const next = { ...tracking, ...options };
    for (const [name, value] of Object.entries(options)) if (value === undefined) delete next[name];
    set({ tracking: next });
  };
  const { presence } = form;
  const isPresent = presence === undefined ? findsLabels(form) && !follows : presence !== null;
  return html`<fieldset class="group">
    <legend>Tracking</legend>
    <${CheckField}
      label="Follow objects from frame to frame"
      field="tracking"
      value=${follows}
      onInput=${(isOn) => set({ tracking: isOn ? {} : null })}
      hint="Gives each object an id, and events: who came and left, entered a zone, crossed a line."
    />
    ${follows &&
    html`<div class="row">
      <${NumberField}
        label="Longest gap in seconds"
        field="tracking.max_gap_seconds"
        problem=${problem}
        value=${tracking.max_gap_seconds}
        placeholder="2"
        min="0.1"
        max="60"
        onInput=${(value) => change({ max_gap_seconds: value })}
        hint="Unseen for longer, an object has left."
      />
      <${NumberField}
        label="Least confidence of a new object"
        field="tracking.min_confidence"
        problem=${problem}
        value=${tracking.min_confidence}
        placeholder="0.3"
        min="0"
        max="1"
        onInput=${(value) => change({ min_confidence: value })}
      />
    </div>`}
    <${CheckField}
      label="Tell from when to when each label is visible"
      field="presence"
      value=${isPresent}
      onInput=${(isOn) => set({ presence: isOn ? {} : null })}
    />
  </fieldset>`;
}

/** What few need: the track, the aspect and restarts. */
export function RareForm({ form, set, problem }) {
  const tied = tie(form, set, problem);
  const giveUp = "Try again, and give up after six attempts that stored nothing";
  const policies = [
    ...(form.kind === "camera" ? [["", "Try again for ever, at least every 30 seconds"], ["on_failure", giveUp]] : [["", giveUp]]),
    ["never", "Do not try again"],
  ];
  return html`<div class="fields">
    <${ChoiceField}
      label="If it fails"
      ...${tied("restart", "restart.policy")}
      choices=${policies}
    />
    ${form.kind === "recording" &&
    html`<${TextField}
      label="Recorded at"
      type="datetime-local"
      step="1"
      ...${tied("recordedAt", "recorded_at")}
      hint=${`The time of its first frame, in your time zone (${zone()}). Events then have dates.`}
    />`}
    <div class="row">
      <${NumberField}
        label="Video track"
        field="track"
        problem=${problem}
        value=${form.track === "" ? undefined : form.track}
        min="0"
        max="99"
        step="1"
        onInput=${(track) => set({ track: track ?? "" })}
        hint="Counted from 0, if the source has several."
      />
      <${TextField}
        label="Display aspect"
        ...${tied("aspect")}
        placeholder="16:9"
        hint="Only if the source declares a wrong one."
      />
    </div>
  </div>`;
}
