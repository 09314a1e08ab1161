/** What the service waits for, asked while the page is visible. */
import { url } from "./api.js";
import { signal } from "./preact.js";

const EVERY = 15_000; // ms
const PATIENCE = 10_000; // ms: less than EVERY, so that requests never overlap

/** What the service waits for, in its own words; nothing if it is ready, or does not answer. */
export const waitingFor = signal([]);

async function ask() {
  if (document.hidden) return;
  try {
    const answer = await (await fetch(url("health/ready"), { signal: AbortSignal.timeout(PATIENCE) })).json();
    waitingFor.value = Array.isArray(answer.waiting_for) ? answer.waiting_for : [];
  } catch {
    waitingFor.value = []; // the stream says that the service does not answer
  }
}

/** Ask now, and every 15 seconds. */
export function startHealth() {
  ask();
  setInterval(ask, EVERY);
  document.addEventListener("visibilitychange", ask);
}
