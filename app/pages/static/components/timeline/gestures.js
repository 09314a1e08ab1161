/** Wheel, pinch, drag and click on a timeline, as calls with places in CSS pixels from its left edge. */

const DRAG = 4; // pixels from which a press is a drag
const WHEEL = 0.002; // of zoom for each unit of a wheel

/**
 * Listen on an element. Returns a function that ends this.
 *
 * @param {HTMLElement} element
 * @param {object} calls `zoom(factor, x)`, `pan(pixels)`, `seek(x)`, `fit()`, `hover(x)`, which is null when the
 *   pointer leaves
 */
export function listenForGestures(element, calls) {
  const end = new AbortController();
  const on = (type, handle, options = {}) =>
    element.addEventListener(type, handle, { signal: end.signal, ...options });
  const pressed = new Map(); // pointer → x
  let moved = 0;
  const place = (event) => event.clientX - element.getBoundingClientRect().left;
  const spread = () => {
    const [a, b] = [...pressed.values()];
    return { apart: Math.max(1, Math.abs(a - b)), middle: (a + b) / 2 };
  };

  on(
    "wheel",
    (event) => {
      event.preventDefault();
      const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      if (isSideways) calls.pan((event.deltaX || event.deltaY) * unit);
      else calls.zoom(Math.exp(event.deltaY * unit * WHEEL * (event.ctrlKey ? 4 : 1)), place(event));
    },
    { passive: false },
  );
  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (!pressed.size) moved = 0;
    pressed.set(event.pointerId, place(event));
    element.setPointerCapture(event.pointerId);
  });
  on("pointermove", (event) => {
    const x = place(event);
    calls.hover(x);
    if (!pressed.has(event.pointerId)) return;
    const before = pressed.get(event.pointerId);
    if (pressed.size === 2) {
      const old = spread();
      pressed.set(event.pointerId, x);
      const now = spread();
      moved = Infinity;
      calls.zoom(old.apart / now.apart, now.middle);
      return;
    }
    moved += Math.abs(x - before);
    pressed.set(event.pointerId, x);
    if (moved >= DRAG) calls.pan(before - x);
  });
  on("pointerup", (event) => {
    if (pressed.delete(event.pointerId) && moved < DRAG) calls.seek(place(event));
  });
  on("pointercancel", (event) => pressed.delete(event.pointerId));
  on("pointerleave", () => calls.hover(null));
  on("dblclick", () => calls.fit());
  return () => end.abort();
}
