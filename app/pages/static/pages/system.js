/** What the service is made of, what is wrong with it, and what to do. */
import { Badge } from "../components/badge.js";
import { Bar, ProblemSentence, useTitle } from "../components/basics.js";
import { Channels } from "../components/channels.js";
import { bytes, duration, plural } from "../lib/format.js";
import { waitingFor } from "../lib/health.js";
import { marked } from "../lib/marked.js";
import { html } from "../lib/preact.js";
import { link } from "../lib/router.js";
import { useGet } from "../lib/use_get.js";

export const styles = ["system"];

const EVERY = 5_000; // ms
const LITTLE = 5e9; // bytes

export default function System() {
  useTitle("System");
  const system = useGet("system", {}, { every: EVERY });
  const runners = useGet("runners", {}, { on: (kind) => kind === "scenario", every: EVERY });
  const channels = useGet("channels", {}, { every: EVERY });
  return html`<div class="stack system">
    <h1>System</h1>
    <${Verdict} system=${system.data} runners=${runners.data?.items} channels=${channels.data?.items} />
    <${ProblemSentence} problem=${system.problem ?? runners.problem} />
    ${runners.data && html`<${Runners} runners=${runners.data.items} />`}
    ${system.data && html`<${Databases} system=${system.data} />`}
    ${channels.data && html`<${Channels} channels=${channels.data.items} reload=${channels.reload} />`}
    <${ProblemSentence} problem=${channels.problem} />
  </div>`;
}

/** One sentence if all is well, or a list of what is wrong with what to do. */
function Verdict({ system, runners, channels }) {
  if (!system || !runners) return null;
  const faults = [...faultsOf(system), ...faultsOfRunners(runners), ...faultsOfChannels(channels ?? [])];
  if (!faults.length) {
    return html`<p class="row"><${Badge} tone="done" sign="✓">ready<//> Everything answers.</p>`;
  }
  return html`<div class="stack faults" role="alert">
    ${faults.map(([what, todo]) => html`<p class="problem"><strong>${what}</strong> ${marked(todo)}</p>`)}
  </div>`;
}

function faultsOf({ databases, free_bytes: free }) {
  const faults = databases
    .filter((database) => !database.answers)
    .map(({ name }) => [
      `The ${name} database does not answer.`,
      `Runs wait, and nothing stored is lost. Check that its server runs, and that VA_${name.toUpperCase()}_DSN is right if it is set.`,
    ]);
  if (free !== null && free < LITTLE) {
    faults.push([
      `${bytes(free)} are left on the disk of VA_DATA_DIR.`,
      "When it is full, runs wait. Delete scenarios that are no longer needed, or make room.",
    ]);
  }
  const told = faults.map(([what]) => what.toLowerCase());
  for (const reason of waitingFor.value) {
    if (!told.some((what) => what.startsWith(reason))) faults.push([`The service waits for ${reason}.`, ""]);
  }
  return faults;
}

function faultsOfRunners(runners) {
  const faults = runners
    .filter((runner) => runner.state === "silent" && runner.held)
    .map((runner) => [
      `The runner ${runner.runner_id} is silent for ${duration(runner.heartbeat_age_seconds)}.`,
      "Its scenarios go to other runners and go on where they were. Check that its process runs and reaches the bus.",
    ]);
  if (!runners.some((runner) => runner.state === "alive")) {
    faults.push([
      "No runner is alive, so scenarios wait.",
      "Start a process with the role runner; on one machine, start the service again.",
    ]);
  }
  return faults;
}

const faultsOfChannels = (channels) =>
  channels
    .filter((channel) => channel.error)
    .map((channel) => [`The channel ${channel.name} does not take messages:`, `${channel.error}. Fix it, then test it below.`]);

const STATES = { alive: ["run", "▶"], silent: ["bad", "✕"], left: ["idle", "■"] };

function Runners({ runners }) {
  const slots = runners.filter((runner) => runner.state === "alive").reduce((sum, runner) => sum + runner.slots, 0);
  return html`<section class="stack" aria-labelledby="runners">
    <h2 id="runners">Runners <span class="quiet small">${plural(slots, "slot")}</span></h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="runners">
      <table>
        <thead>
          <tr><th>Runner</th><th>State</th><th>Slots</th><th class="number">Heartbeat</th><th>Computes with</th><th>Scenarios</th></tr>
        </thead>
        <tbody>
          ${runners.map(
            (runner) => html`<tr key=${runner.boot_id}>
              <td>${runner.runner_id}</td>
              <td><${Badge} tone=${STATES[runner.state][0]} sign=${STATES[runner.state][1]}>${runner.state}<//></td>
              <td>
                <div class="slots">
                  <${Bar} percent=${(100 * runner.held) / runner.slots} label=${`Slots of ${runner.runner_id} in use`} />
                  <span class="numbers">${runner.held} of ${runner.slots}</span>
                </div>
              </td>
              <td class="number">${duration(runner.heartbeat_age_seconds, 1)} ago</td>
              <td>${runner.backend ? `${runner.backend}, ${runner.precision ?? "precision unknown"}` : html`<span class="quiet">not told</span>`}</td>
              <td>
                <${Held} ids=${runner.scenario_ids} />
              </td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

const FEW = 5;

function Held({ ids }) {
  const rest = ids.length - FEW;
  return html`${ids
    .slice(0, FEW)
    .map((id, index) => html`${index ? ", " : ""}<a href=${link(`scenarios/${id}`)}>${id.slice(-8)}</a>`)}
  ${rest > 0 ? ` and ${rest} more` : ids.length ? "" : html`<span class="quiet">none</span>`}`;
}

function Databases({ system }) {
  const where = system.free_bytes === null ? "" : `${bytes(system.free_bytes)} free on its disk`;
  return html`<section class="stack" aria-labelledby="service">
    <h2 id="service">Service <span class="quiet small">videoanalysis ${system.version}</span></h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="service">
      <table>
        <thead><tr><th>Part</th><th>State</th><th>Version</th><th>Holds</th></tr></thead>
        <tbody>
          ${system.databases.map(
            (database) => html`<tr key=${database.name}>
              <td>Database of ${database.name}</td>
              <td>
                ${database.answers
                  ? html`<${Badge} tone="done" sign="✓">answers<//>`
                  : html`<${Badge} tone="bad" sign="✕">does not answer<//>`}
              </td>
              <td>${database.postgres_version && `PostgreSQL ${database.postgres_version}`}</td>
              <td class="numbers">${[database.bytes === null ? "" : bytes(database.bytes), where].filter(Boolean).join(", ")}</td>
            </tr>`,
          )}
          <tr>
            <td>Bus</td>
            <td></td>
            <td>${system.bus === "kafka" ? "Kafka" : "in memory"}</td>
            <td>${system.bus === "kafka" ? "" : "one process is the whole service"}</td>
          </tr>
          <tr>
            <td>Uploads</td>
            <td></td>
            <td>${system.takes_uploads ? "on" : "off"}</td>
            <td>${system.takes_uploads ? "" : html`<code>VA_UPLOADS=true</code> turns them on`}</td>
          </tr>
        </tbody>
      </table>
    </div>
  </section>`;
}
