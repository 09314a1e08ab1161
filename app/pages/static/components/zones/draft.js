// Zones, lines and alerts that are being drawn: values in the form of the API, and functions that return
// changed ones. A point is [x, y], as fractions of the picture.

/** @typedef {{zones: object[], lines: object[], alerts: object[]}} Draft */
/** @typedef {{kind: "zone" | "line", index: number, point?: number}} Place a shape, or a point of it */

/** Return the draft of a scenario. */
export function draftOf({ zones = [], lines = [], alerts = [] }) {
  return structuredClone({ zones, lines, alerts });
}

/** Return the point in the picture, with four decimals. */
export function clamp([x, y]) {
  const within = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1e4) / 1e4;
  return [within(x), within(y)];
}

/** Return "zone 2" if "zone 1" is taken. */
function freeName(word, shapes) {
  const taken = new Set(shapes.map((shape) => shape.name));
  let number = 1;
  while (taken.has(`${word} ${number}`)) number += 1;
  return `${word} ${number}`;
}

export function addZone(draft, points) {
  const zone = { name: freeName("zone", draft.zones), polygon: points.map(clamp), anchor: "bottom", ignore: false };
  return { ...draft, zones: [...draft.zones, zone] };
}

export function addLine(draft, [from, to]) {
  const line = { name: freeName("line", draft.lines), from: clamp(from), to: clamp(to) };
  return { ...draft, lines: [...draft.lines, line] };
}

export function addAlert(draft, target = {}) {
  return { ...draft, alerts: [...draft.alerts, { name: freeName("alert", draft.alerts), ...target }] };
}

/** Return the points of a shape. */
export function pointsOf(draft, { kind, index }) {
  return kind === "zone" ? draft.zones[index].polygon : [draft.lines[index].from, draft.lines[index].to];
}

/** Return the draft with other points of a shape. */
export function setPoints(draft, { kind, index }, points) {
  const next = points.map(clamp);
  return kind === "zone"
    ? change(draft, "zones", index, { polygon: next })
    : change(draft, "lines", index, { from: next[0], to: next[1] });
}

export function movePoint(draft, place, point) {
  return setPoints(draft, place, pointsOf(draft, place).with(place.point, point));
}

/** Return the draft with a shape moved, as far as the picture goes. */
export function moveShape(draft, place, [dx, dy]) {
  const points = pointsOf(draft, place);
  const within = (values, delta) => Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), delta));
  const [x, y] = [within(points.map((each) => each[0]), dx), within(points.map((each) => each[1]), dy)];
  return setPoints(draft, place, points.map((each) => [each[0] + x, each[1] + y]));
}

/** Return the draft with a corner in the middle of the edge that begins at `place.point`. */
export function splitEdge(draft, place) {
  const points = pointsOf(draft, place);
  const [one, two] = [points[place.point], points[(place.point + 1) % points.length]];
  const middle = [(one[0] + two[0]) / 2, (one[1] + two[1]) / 2];
  return setPoints(draft, place, points.toSpliced(place.point + 1, 0, middle));
}

/** Return the draft without a corner; a zone of three corners, and a line, go as a whole. */
export function removePoint(draft, place) {
  const points = pointsOf(draft, place);
  if (place.kind === "line" || points.length <= 3) return removeShape(draft, place);
  return setPoints(draft, place, points.toSpliced(place.point, 1));
}

/** Return the draft without a shape, and without the alerts on it. */
export function removeShape(draft, { kind, index }) {
  const list = `${kind}s`;
  const { name } = draft[list][index];
  const next = { ...draft, [list]: draft[list].toSpliced(index, 1) };
  return kind === "alert" ? next : { ...next, alerts: draft.alerts.filter((alert) => alert[kind] !== name) };
}

/** Return the draft with another name of a shape, in its alerts, too. */
export function rename(draft, { kind, index }, name) {
  const list = `${kind}s`;
  const before = draft[list][index].name;
  const isOnly = draft[list].filter((shape) => shape.name === before).length === 1;
  const next = change(draft, list, index, { name });
  if (!isOnly) return next;
  const renamed = (alert) => (alert[kind] === before ? { ...alert, [kind]: name } : alert);
  return { ...next, alerts: next.alerts.map(renamed) };
}

/** Return the draft with other options of one of its parts; undefined removes an option. */
export function change(draft, list, index, options) {
  const next = { ...draft[list][index], ...options };
  for (const [name, value] of Object.entries(options)) if (value === undefined) delete next[name];
  return { ...draft, [list]: draft[list].with(index, next) };
}

/** Return where `left` and `right` of a line are, in pixels from its middle. */
export function sidesOf([from, to], { width, height }, distance) {
  const [dx, dy] = [(to[0] - from[0]) * width, (to[1] - from[1]) * height];
  const length = Math.hypot(dx, dy) || 1;
  const right = [(-dy / length) * distance, (dx / length) * distance];
  return { left: [-right[0], -right[1]], right };
}
