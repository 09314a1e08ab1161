/** What pages say about events. */
import { duration } from "./format.js";

export const KINDS = ["object", "zone", "line", "presence", "alert"];

/** Return what happened, in words: "in yard, goes on". */
export function whatText({ kind, name, direction, state }) {
  const end = state === "open" ? ", goes on" : "";
  if (kind === "line") return `${name} → ${direction}`;
  if (kind === "alert") return `alert ${name}`;
  if (kind === "zone") return `in ${name}${end}`;
  return `${kind === "presence" ? "visible" : "in the picture"}${end}`;
}

/** Return how long it was, "12.4 s" or "3:05", or "" for what has no length. */
export function lengthText({ start_time: start, end_time: end, kind }) {
  const seconds = end - start;
  if (kind === "line" || kind === "alert" || seconds < 0.1) return "";
  return seconds < 60 ? `${seconds.toFixed(1)} s` : duration(seconds);
}

/** Return the address of the moment at which it is seen best, for link(). */
export const momentOf = (event) => [`scenarios/${event.scenario_id}`, { event: event.event_id }];

