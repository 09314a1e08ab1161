/** What pages say about events. */
import { duration } from "./format.js";
import { html } from "./preact.js";

export const KINDS = ["object", "zone", "line", "presence", "alert"];

/** Return what happened, in words, as text and elements: "in yard, goes on". */
export function whatText({ kind, name, direction, state }) {
  const end = state === "open" ? ", goes on" : "";
  const named = html`<bdi>${name}</bdi>`;
  if (kind === "line") return [named, ` → ${direction}`];
  if (kind === "alert") return ["alert ", named];
  if (kind === "zone") return ["in ", named, end];
  return [kind === "presence" ? "visible" : "in the picture", end];
}

/** Return how long it was, "12.4 s" or "3:05", or "" for what has no length. */
export function lengthText({ start_time: start, end_time: end, kind }) {
  const seconds = end - start;
  if (kind === "line" || kind === "alert" || seconds < 0.1) return "";
  return seconds < 60 ? `${seconds.toFixed(1)}\u00a0s` : duration(seconds);
}
