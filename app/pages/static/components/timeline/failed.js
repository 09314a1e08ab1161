/** Find the frame of a failure that the counts of a timeline tell of. */
import { get } from "../../lib/api.js";

const COUNTED = 15; // seconds of the shortest bucket that is counted while predictions are stored
const MOST_BUCKETS = 400;
const PAGE = 1000;

/**
 * Return the first stored frame from one time to another that could not be analysed, or null. Throws Problem.
 * @param {string} path of the scenario in the API
 */
export async function findFailed(path, from, to) {
  if (to - from <= 2 * COUNTED) return findAmongFrames(path, from, to);
  const bucket = COUNTED * Math.ceil((to - from) / COUNTED / MOST_BUCKETS);
  // Of one label, because only the counts of all are needed.
  const timeline = await get(`${path}/timeline`, { bucket, from_time: from, to_time: to, label: "-" });
  for (const { time, failed } of timeline.all) {
    const [begin, end] = [Math.max(from, time), Math.min(to, time + bucket)];
    const found = failed && begin < end ? await findFailed(path, begin, end) : null;
    if (found) return found;
  }
  return null;
}

async function findAmongFrames(path, from, to) {
  for (let cursor = null; ; ) {
    const page = await get(`${path}/predictions`, { from_time: from, to_time: to, limit: PAGE, cursor });
    const found = page.items.find((each) => each.error !== undefined);
    if (found || page.next_cursor === null) return found ?? null;
    cursor = page.next_cursor;
  }
}
