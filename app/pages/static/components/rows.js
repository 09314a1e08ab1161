/** Scenarios as a list: state, progress, and why something does not go on. */
import { count, duration, fps, percent, plural } from "../lib/format.js";
import { marked, plain, sentence } from "../lib/marked.js";
import { html } from "../lib/preact.js";
import { link } from "../lib/router.js";
import { isLive, nameOf } from "../lib/scenarios.js";
import { can } from "../lib/session.js";
import { StateBadge } from "./badge.js";
import { Bar, Since } from "./basics.js";

/** One line of the list. `selected` and `onSelect` only if it can be chosen. */
export function ScenarioRow({ scenario, selected, onSelect }) {
  const name = nameOf(scenario);
  return html`<li class="scenario" data-id=${scenario.id}>
    ${onSelect &&
    can.write &&
    html`<input
      type="checkbox"
      aria-label=${`Select ${name}`}
      checked=${selected}
      onChange=${(event) => onSelect(scenario.id, event.target.checked)}
    />`}
    <div class="scenario-name">
      <a class="ellipsis" href=${link(`scenarios/${scenario.id}`)} title=${name}>${name}</a>
      <span class="quiet small ellipsis" title=${scenario.source}>
        ${scenario.name ? `${scenario.source} · ` : ""}${scenario.detector.type}
        ${scenario.tags.map((tag) => html`${" · "}<a class="tag" href=${link("", { tag })}>${tag}</a>`)}
      </span>
    </div>
    <div class="scenario-state"><${StateBadge} scenario=${scenario} /></div>
    <div class="scenario-detail"><${Detail} scenario=${scenario} /></div>
  </li>`;
}

/** What a scenario does, or why it does not. */
export function Detail({ scenario }) {
  const { state, outcome, reason, progress, warnings } = scenario;
  const told = warnings.length
    ? html`<span class="warned" title=${warnings.map((each) => plain(each.text)).join("\n")}>
        <span aria-hidden="true">⚠</span> ${plural(warnings.length, "warning")}
      </span>`
    : null;
  if (outcome === "failed") return html`<span class="failed break">${marked(sentence(scenario.error))}</span>`;
  if (state !== "inactive" && reason) {
    return html`<span class="break">${marked(sentence(reason.text))}</span> <span class="quiet">for <${Since} at=${reason.since} /></span>`;
  }
  if (state === "inactive") {
    return html`<span class="numbers">${stored(progress)}</span>${told}`;
  }
  return html`
    ${progress.percent !== null && html`<${Bar} percent=${progress.percent} label=${`Progress of ${nameOf(scenario)}`} />`}
    <span class="numbers">${running(scenario)}</span>${told}
  `;
}

function stored(progress) {
  const parts = [plural(progress.frames_sampled, "frame"), plural(progress.detections, "detection")];
  if (progress.frames_failed) parts.push(`${count(progress.frames_failed)} could not be decoded`);
  return parts.join(" · ");
}

function running(scenario) {
  const { progress } = scenario;
  const parts = isLive(scenario)
    ? [plural(progress.frames_sampled, "frame"), plural(progress.detections, "detection")]
    : [percent(progress.percent)];
  if (progress.frames_dropped) parts.push(`${count(progress.frames_dropped)} dropped`);
  parts.push(fps(progress.fps));
  if (progress.eta_seconds !== null) parts.push(`ETA ${duration(progress.eta_seconds)}`);
  parts.push(scenario.runner_id ?? "");
  return parts.filter(Boolean).join(" · ");
}
