/** What pages do with scenarios. */
import { del, get, post } from "./api.js";
import { limited } from "./queue.js";

const STOP_PATIENCE = 30_000; // ms
const AT_ONCE = 4;

/** What people call it: its name, or its source if it has none. */
export const nameOf = (scenario) => scenario.name || scenario.source;
/** Whether its source is live, as far as it is known before it was opened. */
export const isLive = (scenario) => scenario.media?.live ?? /^rtsps?:/i.test(scenario.source);
/** Whether it has not ended. */
export const isUnended = (scenario) => scenario.state !== "inactive";

export const stopScenario = (id) => post(`scenarios/${id}/stop`);
export const startScenario = (id) => post(`scenarios/${id}/start`);

/** Delete a scenario with all it stored; one that runs is stopped first. Throws Problem. */
export async function deleteScenario(id) {
  try {
    await del(`scenarios/${id}`);
    return;
  } catch (problem) {
    if (problem.status !== 409) throw problem;
  }
  await stopScenario(id);
  for (const until = Date.now() + STOP_PATIENCE; Date.now() < until; ) {
    if ((await get(`scenarios/${id}`)).state === "inactive") break;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  await del(`scenarios/${id}`);
}

/** Do something with several scenarios, a few at once. Returns `[{id, problem}]` of those that failed. */
export async function forEachScenario(ids, action) {
  const run = limited(AT_ONCE);
  const failed = [];
  const one = async (id) => {
    try {
      await action(id);
    } catch (problem) {
      failed.push({ id, problem });
    }
  };
  await Promise.all(ids.map((id) => run(() => one(id))));
  return failed;
}

/** Return the scenario with what a `progress` change of the stream tells of it. */
export function withProgress(scenario, { attempt, source_state, progress, reason, warnings }) {
  if (scenario.attempt !== attempt || scenario.state === "inactive") return scenario;
  return { ...scenario, source_state, progress, reason, warnings };
}
