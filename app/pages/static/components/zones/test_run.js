// Run a draft over what a scenario has stored, as a scenario of its own that is deleted afterwards.

import { del, get, post } from "../../lib/api.js";
import { newId } from "../creation/request.js";

const POLL = 500; // ms
const MOST_EVENTS = 5_000;
const ABANDONED = 60_000; // ms after which a test that no tab follows is deleted
const KEY = "videoanalysis.tests";
/** Kinds of events that zones, lines and alerts give. */
const KINDS = ["zone", "line", "alert"];

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Return the tests of this browser: id and the time at which each was last seen to run. */
function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

function remember(id, time) {
  const { [id]: _, ...others } = remembered();
  try {
    localStorage.setItem(KEY, JSON.stringify(time === null ? others : { ...others, [id]: time }));
  } catch {
    // Without storage, a test that is left by closing the tab stays in the overview.
  }
}

/** Return how objects are followed with this draft: zones and lines need it. */
export function trackingOf(scenario, draft) {
  return scenario.tracking ?? (draft.zones.length || draft.lines.length ? {} : null);
}

/** Return the body of the request that tests a draft over what `scenario` has stored. */
export function testBody(scenario, draft) {
  const isStored = scenario.source.startsWith("scenario:");
  const body = {
    source: isStored ? scenario.source : `scenario:${scenario.id}`,
    detector: isStored ? scenario.detector : { type: "stored" },
    name: [...`Test: ${scenario.name || scenario.source}`].slice(0, 200).join(""),
    tags: ["test"],
    tracking: trackingOf(scenario, draft),
    presence: scenario.presence,
  };
  for (const [name, list] of Object.entries(draft)) if (list.length) body[name] = list;
  return body;
}

/** Return the scenario, or null while it is not there yet. */
async function read(id, signal) {
  try {
    return await get(`scenarios/${id}`, undefined, { signal });
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
}

/**
 * Run the test, and return `{events, isCut, scenario}`. Throws Problem, or AbortError when `signal` ends it.
 *
 * The test is deleted in any case.
 * @param {object} body of `testBody`
 * @param {{signal: AbortSignal, onProgress: (scenario: object) => void}} options
 */
export async function runTest(body, { signal, onProgress }) {
  const id = newId();
  remember(id, Date.now());
  try {
    await post("scenarios", { ...body, id }, { signal });
    let scenario = await read(id, signal);
    while (scenario?.state !== "inactive") {
      if (scenario) onProgress(scenario);
      remember(id, Date.now());
      await pause(POLL);
      signal.throwIfAborted();
      scenario = await read(id, signal);
    }
    const events = [];
    let isCut = false;
    for (const kind of KINDS) {
      let cursor = null;
      do {
        const page = await get(`scenarios/${id}/events`, { kind, limit: 1000, cursor }, { signal });
        events.push(...page.items);
        cursor = page.next_cursor;
      } while (cursor && events.length < MOST_EVENTS);
      isCut ||= cursor !== null;
    }
    events.sort((one, two) => one.start_time - two.start_time || one.event_id - two.event_id);
    return { events, isCut, scenario };
  } finally {
    removeTest(id);
  }
}

/** Stop and delete a test, and repeat that until it is gone. */
async function removeTest(id) {
  for (let tries = 0; tries < 60; tries += 1) {
    try {
      await del(`scenarios/${id}`);
      break;
    } catch (problem) {
      if (problem.status === 404 && tries > 4) break; // not merely not created yet
      if (problem.status === 409) await post(`scenarios/${id}/stop`).catch(() => {});
    }
    await pause(POLL);
  }
  remember(id, null);
}

/** Delete tests that were left when a tab was closed. */
export function removeOldTests() {
  for (const [id, time] of Object.entries(remembered())) if (Date.now() - time > ABANDONED) removeTest(id);
}
