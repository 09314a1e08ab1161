/** The state of a scenario: a sign and a word, never a colour alone. */
import { html } from "../lib/preact.js";

export const STATES = {
  init_startup: ["…", "waiting", "wait"],
  in_startup_processing: ["…", "starting", "wait"],
  active: ["▶", "running", "run"],
  init_shutdown: ["■", "stopping", "wait"],
  in_shutdown_processing: ["■", "stopping", "wait"],
  completed: ["✓", "completed", "done"],
  stopped: ["■", "stopped", "idle"],
  failed: ["✕", "failed", "bad"],
};

/** Return `[sign, word, tone]` of a scenario; tone is "run", "wait", "warn", "done", "idle" or "bad". */
export function stateOf(scenario) {
  if (scenario.state !== "inactive" && scenario.reason) {
    if (scenario.reason.code === "reconnecting") return ["↻", "reconnecting", "warn"];
    const [sign, word] = STATES[scenario.state];
    return [sign, word, scenario.state === "init_startup" ? "wait" : "warn"];
  }
  if (scenario.source_state === "frozen") return ["❄", "frozen", "warn"];
  return STATES[scenario.outcome ?? scenario.state] ?? ["?", scenario.state, "idle"];
}

/** `<${StateBadge} scenario=${scenario} />` */
export function StateBadge({ scenario }) {
  const [sign, word, tone] = stateOf(scenario);
  return html`<${Badge} sign=${sign} tone=${tone}>${word}<//>`;
}

/** A badge of another state: `<${Badge} tone="bad" sign="✕">dead<//>` */
export function Badge({ tone = "idle", sign, children }) {
  return html`<span class=${`badge badge-${tone}`}>
    ${sign && html`<span class="badge-sign" aria-hidden="true">${sign}</span>`}${children}
  </span>`;
}
