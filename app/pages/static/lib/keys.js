/** Keys that work everywhere on a page, and the list of them that `?` shows. */
import { signal, useEffect } from "./preact.js";

/** `[keys, what they do]` of the page that is shown. */
export const pageKeys = signal([]);

const isTyping = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/**
 * Call `actions[event.key](event)` for keys that are pressed outside of fields and dialogs. `names` is what `?` lists:
 * [["Space", "Play or pause"]].
 */
export function useKeys(actions, names = []) {
  useEffect(() => {
    const pressed = (event) => {
      const isModified = event.ctrlKey || event.metaKey || event.altKey;
      if (isModified || isTyping(event.target) || document.querySelector("dialog[open]")) return;
      if (Object.hasOwn(actions, event.key)) {
        event.preventDefault();
        actions[event.key](event);
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
  useEffect(() => {
    if (!names.length) return undefined;
    pageKeys.value = [...pageKeys.value, ...names];
    return () => {
      pageKeys.value = pageKeys.value.filter((each) => !names.includes(each));
    };
  }, []);
}
