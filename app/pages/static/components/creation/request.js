// The request that creates a scenario, from what the forms hold.

import { url } from "../../lib/api.js";
import { sourceOf } from "./address.js";

/** Detectors whose objects are not followed unless the request says so. */
const NOT_FOLLOWED = ["motion", "marker", "mock"];

/**
 * What the forms hold at first. `undefined` stands for the API's default.
 * @param {{kind?: string, recording?: string, model?: string}} query what the page's address names
 */
export function emptyForm({ kind, recording = "", model }) {
  return {
    kind: kind === "camera" ? "camera" : "recording",
    recording,
    camera: { address: "", user: "", password: "", fingerprint: "" },
    detector: model ? { type: "onnx", model } : { type: "objects" },
    sampling: { mode: "fps", fps: 2 },
    tracking: undefined,
    presence: undefined,
    name: "",
    tags: "",
    track: "",
    aspect: "",
    recordedAt: "",
    restart: "",
    draft: { zones: [], lines: [], alerts: [] },
    notify: null,
  };
}

/** Return the source that the forms name, with `PASSWORD` for the password if it must not be shown. */
export function formSource(form, hidesPassword = false) {
  if (form.kind === "recording") return form.recording;
  const shown = hidesPassword && form.camera.password ? { password: "PASSWORD" } : {};
  return sourceOf({ ...form.camera, ...shown });
}

/** Return whether the source is a camera in the network: one that is off is waited for until it is on. */
function isCamera(form) {
  return form.kind === "camera" && /^(rtsp|http)s?:/i.test(formSource(form));
}

/** Return whether the API tells by default from when to when labels are visible, if objects are not followed. */
export function findsLabels({ detector }) {
  return !NOT_FOLLOWED.includes(detector.type);
}

/** Return whether the API follows the objects of this detector by default. */
export function findsObjects(form) {
  return findsLabels(form) && form.detector.layout !== "classifier";
}

/** Return what the request says of tracking: zones and lines need it. Undefined: nothing. */
export function trackingOf(form) {
  const { zones, lines } = form.draft;
  const isNeeded = zones.length + lines.length > 0 && !findsObjects(form);
  return form.tracking === undefined && isNeeded ? {} : form.tracking;
}

/** Return the body of POST /scenarios, without its `id`. */
export function bodyOf(form, hidesPassword = false) {
  const { zones, lines, alerts } = form.draft;
  const body = {
    source: formSource(form, hidesPassword),
    detector: form.detector,
    sampling: form.sampling,
  };
  if (form.name.trim()) body.name = form.name.trim();
  const tags = form.tags.split(",").map((tag) => tag.trim()).filter(Boolean);
  if (tags.length) body.tags = tags;
  const tracking = trackingOf(form);
  if (tracking !== undefined) body.tracking = tracking;
  if (form.presence !== undefined) body.presence = form.presence;
  if (zones.length) body.zones = zones;
  if (lines.length) body.lines = lines;
  if (alerts.length) body.alerts = alerts;
  if (form.notify) body.notify = form.notify;
  if (form.track !== "") body.track = Number(form.track);
  if (form.aspect.trim()) body.aspect = form.aspect.trim();
  if (form.kind === "recording" && form.recordedAt) body.recorded_at = new Date(form.recordedAt).toISOString();
  const restart = form.restart || (isCamera(form) ? "always" : "");
  if (restart) body.restart = { policy: restart };
  return body;
}

/** Return a random UUID. `crypto.randomUUID` exists only on https and on this machine. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/**
 * Return a function that gives each body its id: the same body has the same id, so that a request that is
 * sent twice creates one scenario.
 */
export function idsOfBodies() {
  let known = { text: "", id: "" };
  return (body) => {
    const text = JSON.stringify(body);
    if (known.text !== text) known = { text, id: newId() };
    return known.id;
  };
}

/** Return the command line that sends `body` to `path`. */
export function curlOf(path, body) {
  const address = new URL(url(path));
  const key = ["localhost", "127.0.0.1", "[::1]"].includes(address.hostname)
    ? ""
    : ' \\\n  -H "Authorization: Bearer $KEY"';
  const quoted = JSON.stringify(body, null, 1).replace(/\n\s*/g, " ").replaceAll("'", "'\\''");
  return `curl --json '${quoted}'${key} \\\n  '${address.origin}${address.pathname}'`;
}
