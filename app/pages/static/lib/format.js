/** Numbers and times as people read them: in the viewer's time zone and language, with thousands separators. */

const whole = new Intl.NumberFormat();
const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const full = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
});

/** A Date of an RFC 3339 text, a Date, or seconds since 1970. */
export function toDate(value) {
  return value instanceof Date ? value : new Date(typeof value === "number" ? value * 1000 : value);
}

/** "1,204" */
export const count = (number) => whole.format(number);
/** "1 frame", "1,204 frames" */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
/** "28 %", or "" for null. */
export const percent = (number) => (number === null || number === undefined ? "" : `${Math.floor(number)} %`);
/** "263.8 fps", or "" for null. */
export const fps = (number) => (number === null || number === undefined ? "" : `${tenths.format(number)} fps`);
/** "0.91" */
export const confidence = (number) => number.toFixed(2);

/** "0:41", "12:03", "1:02:03"; with `digits` of a second: "0:41.200". "" for null. */
export function duration(seconds, digits = 0) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
  const factor = 10 ** digits;
  const all = Math.max(0, Math.floor(seconds * factor + 1e-6)) / factor;
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const last = rest.toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${last}` : `${minutes}:${last}`;
}

/** "12:03:10" in the viewer's zone; with the date if it is another day. */
export function time(value) {
  const date = toDate(value);
  const text = clock.format(date);
  return date.toDateString() === new Date().toDateString() ? text : `${day.format(date)}, ${text}`;
}

/** "Jan 31, 2026, 10:30:04 AM GMT+1": the whole of it, with the zone. */
export const fullTime = (value) => full.format(toDate(value));

/** "31 Jan 2026, 10:30:04 – 10:31:20 CET": a range of time, which says only once what is the same. */
export const range = (from, to) => full.formatRange(toDate(from), toDate(to));

/** The name of the viewer's zone, such as "GMT+1". */
export function zone(value = new Date()) {
  return full.formatToParts(toDate(value)).find((part) => part.type === "timeZoneName").value;
}

/** Seconds since then, at least 0. */
export const secondsSince = (value) => Math.max(0, (Date.now() - toDate(value).getTime()) / 1000);

/** "1.4 GB", "52 kB" */
export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) [number, unit] = [number / 1000, unit + 1];
  return `${tenths.format(number)} ${units[unit]}`;
}
