// The button "Test", and what would have happened.

import { marked } from "../../lib/marked.js";
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { count, duration, fullTime, plural } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { ProblemSentence } from "../basics.js";
import { removeOldTests, runTest, testBody } from "./test_run.js";

const MOST_SHOWN = 200;
const WHAT = "Asks what is stored; the video is not read again, and nobody is notified.";

/** Return [name, sentence] of each rule of a draft. */
export function countsOf(draft, events) {
  const of = (kind, name) => events.filter((event) => event.kind === kind && event.name === name);
  const longest = (some) => Math.max(0, ...some.map((event) => event.end_time - event.start_time));
  return [
    ...draft.zones.filter((zone) => !zone.ignore).map(({ name }) => {
      const visits = of("zone", name);
      if (!visits.length) return [name, "no visit"];
      return [name, `${plural(visits.length, "visit")}, the longest ${duration(longest(visits), 1)}`];
    }),
    ...draft.lines.map(({ name }) => {
      const crossings = of("line", name);
      const to = (side) => count(crossings.filter((event) => event.direction === side).length);
      if (!crossings.length) return [name, "no crossing"];
      const all = plural(crossings.length, "crossing");
      return [name, `${all}: ${to("left")} to the left, ${to("right")} to the right`];
    }),
    ...draft.alerts.map(({ name }) => [name, plural(of("alert", name).length, "alert")]),
  ];
}

function describe(event) {
  if (event.kind === "line") return `crosses ${event.name} to the ${event.direction}`;
  if (event.kind === "alert") return `alert ${event.name}`;
  return `in ${event.name} for ${duration(event.end_time - event.start_time, 1)}`;
}

/** The time of an event. In the editor it shows the picture of a recording; else the page of the scenario does. */
function Moment({ scenario, event, onTime }) {
  const text = event.at ? fullTime(event.at) : duration(event.start_time, 1);
  const show = () => onTime(event.start_time);
  if (onTime) return html`<button type="button" class="link numbers" onClick=${show}>${text}</button>`;
  return html`<a class="numbers" href=${link(`scenarios/${scenario.id}`, { t: event.start_time })}>${text}</a>`;
}

function Results({ scenario, draft, result, onTime }) {
  const { events, isCut } = result;
  const what = (event) => `${event.label}${event.track_id === null ? "" : ` #${event.track_id}`}`;
  return html`<div class="test-results">
    <h3>What would have happened</h3>
    <dl class="test-counts">
      ${countsOf(draft, events).map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd>${text}</dd></div>`)}
    </dl>
    ${events.length > 0 &&
    html`<ol class="test-events" tabindex="0" aria-label="Events of the test">
      ${events.slice(0, MOST_SHOWN).map(
        (event) => html`<li key=${event.event_id}>
          <${Moment} ...${{ scenario, event, onTime }} /> ${what(event)} ${describe(event)}
        </li>`,
      )}
    </ol>`}
    ${(isCut || events.length > MOST_SHOWN) &&
    html`<p class="quiet">
      The first ${count(MOST_SHOWN)} events are listed${isCut ? ", and the counts are of the first ones alone" : ""}.
    </p>`}
  </div>`;
}

/**
 * @param {{scenario: object, draft: object, onProblem: (problem: any) => void,
 *   onTime: ((seconds: number) => void) | null}} props `onProblem` gets what the API says against the draft, or null;
 *   `onTime` shows the picture at this time of a recording
 */
export function TestPanel({ scenario, draft, onProblem, onTime }) {
  const [state, setState] = useState({ running: null, result: null, tested: null, problem: null });
  const abort = useRef(null);
  useEffect(() => {
    removeOldTests();
    return () => abort.current?.abort();
  }, []);
  const isEmpty = !draft.zones.length && !draft.lines.length && !draft.alerts.length;
  const run = async () => {
    const own = (abort.current = new AbortController());
    setState({ running: {}, result: null, tested: null, problem: null });
    onProblem(null);
    try {
      const onProgress = (running) => setState((old) => ({ ...old, running }));
      const result = await runTest(testBody(scenario, draft), { signal: own.signal, onProgress });
      const failed = result.scenario.outcome === "failed" ? result.scenario.error : null;
      setState({ running: null, result, tested: draft, problem: failed });
    } catch (problem) {
      const isOver = problem.name === "AbortError";
      setState({ running: null, result: null, tested: null, problem: isOver ? null : problem });
      if (!isOver) onProblem(problem);
    }
  };
  const { running, result, tested, problem } = state;
  const percent = running?.progress?.percent ?? null;
  const doing = percent === null ? "The test waits for a runner." : `Asking what is stored: ${Math.floor(percent)} %.`;
  return html`<section class="test-panel" aria-label="Test">
    <div class="actions">
      <button type="button" disabled=${isEmpty || running} onClick=${run}>Test</button>
      ${running && html`<button type="button" onClick=${() => abort.current.abort()}>Stop the test</button>`}
      <span class="quiet">${isEmpty ? "Draw a zone or a line, or add an alert." : WHAT}</span>
    </div>
    <div aria-live="polite">
      ${running &&
      html`<p>${marked(running.reason?.text ?? doing)}</p>
        <progress aria-label="Progress of the test" max="100" value=${percent ?? 0}></progress>`}
      ${problem && html`<${ProblemSentence} problem=${problem} />`}
      ${result && tested !== draft && html`<p class="quiet">The draft has changed since this test.</p>`}
      ${result && html`<${Results} draft=${tested} ...${{ scenario, result, onTime }} />`}
    </div>
  </section>`;
}
