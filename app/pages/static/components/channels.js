/** The channels that are told of events, what came of it, and what to do about what did not arrive. */
import { post } from "../lib/api.js";
import { count, plural } from "../lib/format.js";
import { marked } from "../lib/marked.js";
import { html, useState } from "../lib/preact.js";
import { link } from "../lib/router.js";
import { can } from "../lib/session.js";
import { useGet } from "../lib/use_get.js";
import { Badge } from "./badge.js";
import { Pager, ProblemSentence, Since, Time, usePages } from "./basics.js";

const LIMIT = 50;
const EVERY = 5_000; // ms
const STATES = { pending: ["wait", "…", "waiting"], sent: ["done", "✓", "sent"], dead: ["bad", "✕", "given up"] };

export function Channels({ channels, reload }) {
  const [version, setVersion] = useState(0);
  const changed = () => (setVersion((old) => old + 1), reload());
  return html`<section class="stack" aria-labelledby="channels">
    <h2 id="channels">Channels</h2>
    ${!channels.length &&
    html`<p class="quiet">
      Nobody is told of events. The operator can name webhooks, MQTT and Kafka topics in the file of${" "}
      <code>VA_CHANNELS_FILE</code>; scenarios then choose them with <code>notify</code>.
    </p>`}
    ${channels.length > 0 &&
    html`<div class="scroll" tabindex="0" role="region" aria-labelledby="channels">
      <table>
        <thead>
          <tr>
            <th>Channel</th><th>Type</th><th class="number">Waiting</th><th class="number">Given up</th><th>Last sent</th><th>Fault</th>
            ${can.write && html`<th><span class="visually-hidden">Test</span></th>`}
          </tr>
        </thead>
        <tbody>
          ${channels.map((channel) => html`<${ChannelRow} key=${channel.name} channel=${channel} changed=${changed} />`)}
        </tbody>
      </table>
    </div>`}
    ${channels.length > 0 && can.write && html`<${Deliveries} channels=${channels} version=${version} changed=${changed} />`}
  </section>`;
}

function ChannelRow({ channel, changed }) {
  const [test, setTest] = useState({ isBusy: false, text: null, problem: null });
  const run = async () => {
    setTest({ isBusy: true, text: null, problem: null });
    try {
      const { state, error } = await post(`channels/${encodeURIComponent(channel.name)}/test`);
      const text = state === "sent" ? "The channel took a test message." : `The channel did not take it: ${error}.`;
      setTest({ isBusy: false, text, problem: null });
      changed();
    } catch (problem) {
      setTest({ isBusy: false, text: null, problem });
    }
  };
  return html`<tr>
    <td class="break">${channel.name}</td>
    <td>${channel.type}</td>
    <td class="number">
      ${count(channel.waiting)}${channel.waiting_since && html`, for <${Since} at=${channel.waiting_since} />`}
    </td>
    <td class="number">${count(channel.dead)}</td>
    <td><${Time} at=${channel.last_sent_at} /></td>
    <td class="break">
      ${marked(channel.error)}
      <div role="status">${test.text}</div>
      <${ProblemSentence} problem=${test.problem} />
    </td>
    ${can.write &&
    html`<td>
      <button type="button" disabled=${test.isBusy} onClick=${run}>${test.isBusy ? "Sending a test" : "Test"}</button>
    </td>`}
  </tr>`;
}

function StateOf({ delivery }) {
  const [tone, sign, word] = STATES[delivery.state] ?? ["idle", "?", delivery.state];
  return html`<${Badge} tone=${tone} sign=${sign}>${word}<//>`;
}

function Deliveries({ channels, version, changed }) {
  const [isOpen, setOpen] = useState(false);
  const [filter, setFilter] = useState({ channel: "", state: "" });
  const pages = usePages(JSON.stringify(filter));
  const query = { ...filter, limit: LIMIT, cursor: pages.cursor };
  const { data: page, problem } = useGet(isOpen ? "deliveries" : null, query, { version, every: isOpen ? EVERY : null });
  const [refused, setRefused] = useState(null);
  const retry = async (delivery) => {
    try {
      setRefused(null);
      await post(`deliveries/${delivery.id}/retry`);
      changed();
    } catch (error) {
      setRefused(error);
    }
  };
  const change = (name) => (event) => setFilter({ ...filter, [name]: event.target.value });
  return html`<details class="deliveries" onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>Deliveries</summary>
    <div class="filter-form">
      <label class="filter">
        <span>Channel</span>
        <select value=${filter.channel} onChange=${change("channel")}>
          <option value="">All</option>
          ${channels.map(({ name }) => html`<option value=${name}>${name}</option>`)}
        </select>
      </label>
      <label class="filter">
        <span>State</span>
        <select value=${filter.state} onChange=${change("state")}>
          <option value="">All</option>
          ${Object.entries(STATES).map(([state, [, , word]]) => html`<option value=${state}>${word}</option>`)}
        </select>
      </label>
    </div>
    <${ProblemSentence} problem=${problem ?? refused} />
    ${page && !page.items.length && html`<p class="quiet">No delivery fits. They are kept for 7 days after they ended.</p>`}
    ${page &&
    page.items.length > 0 &&
    html`<div class="scroll" tabindex="0" role="region" aria-label="Deliveries">
        <table>
          <thead><tr><th>Created</th><th>Event</th><th>Channel</th><th>State</th><th class="number">Tries</th><th>Fault</th><th><span class="visually-hidden">Send again</span></th></tr></thead>
          <tbody>
            ${page.items.map(
              (delivery) => html`<tr key=${delivery.id}>
                <td><${Time} at=${delivery.created_at} /></td>
                <td class="one-line">
                  ${delivery.scenario_id
                    ? html`<a href=${link(`scenarios/${delivery.scenario_id}`, { event: delivery.event_id })}>${delivery.kind} ${delivery.event_id}</a>`
                    : "test"}
                </td>
                <td class="break">${delivery.channel}</td>
                <td><${StateOf} delivery=${delivery} /></td>
                <td class="number">${count(delivery.attempts)}</td>
                <td class="break">${marked(delivery.error)}</td>
                <td>
                  ${delivery.state === "dead" &&
                  delivery.scenario_id &&
                  html`<button type="button" onClick=${() => retry(delivery)}>Send again</button>`}
                </td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <${Pager} label="Pages of deliveries" previous=${pages.previous} next=${pages.next(page.next_cursor)}>
        page ${pages.page}: ${plural(page.items.length, "delivery", "deliveries")}
      <//>`}
  </details>`;
}
