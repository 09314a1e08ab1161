/** Dialogs. The browser keeps the focus inside, closes them with Esc, and returns the focus. */
import { html, useEffect, useId, useRef, useState } from "../lib/preact.js";
import { ProblemSentence } from "./basics.js";

/** A dialog that is shown as long as it is rendered. `onClose` is called when the user closes it. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    const opener = document.activeElement;
    const element = dialog.current;
    element.showModal();
    return () => {
      if (element.open) opener?.focus?.(); // else the browser has done it, and the user may be elsewhere by now
    };
  }, []);
  const pressed = (event) => {
    if (event.target === dialog.current) onClose(); // beside it
  };
  return html`<dialog ref=${dialog} aria-labelledby=${id} onClose=${onClose} onClick=${pressed}>
    <div class="dialog">
      <h2 id=${id}>${title}</h2>
      ${children}
    </div>
  </dialog>`;
}

/**
 * Ask before something that cannot be undone. `action` is an async function; its Problem is shown. `verb` is the
 * button: "Delete".
 */
export function Confirm({ title, verb, action, onClose, children }) {
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const confirm = async () => {
    setBusy(true);
    try {
      await action();
      onClose();
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${children}
    <${ProblemSentence} problem=${problem} />
    <div class="actions">
      <button type="button" onClick=${onClose}>Cancel</button>
      <button type="button" class="danger" disabled=${isBusy} onClick=${confirm}>${verb}</button>
    </div>
  <//>`;
}
