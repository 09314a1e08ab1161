// A file that is dropped, or chosen with a button.

import { html, useRef, useState } from "../lib/preact.js";

/**
 * @param {{text: string, button: string, accept: string, isDisabled?: boolean, onFile: (file: File) => void,
 *   children?: any}} props `text` ends before the button: "Drop a recording here, or"
 */
export function Drop({ text, button, accept, isDisabled = false, onFile, children }) {
  const [isOver, setOver] = useState(false);
  const input = useRef(null);
  const take = (files) => files.length && !isDisabled && onFile(files[0]);
  return html`<div
    class=${isOver ? "drop over" : "drop"}
    onDragOver=${(event) => {
      event.preventDefault();
      setOver(true);
    }}
    onDragLeave=${() => setOver(false)}
    onDrop=${(event) => {
      event.preventDefault();
      setOver(false);
      take(event.dataTransfer.files);
    }}
  >
    <input
      ref=${input}
      type="file"
      accept=${accept}
      hidden
      onChange=${(event) => {
        take([...event.currentTarget.files]);
        event.currentTarget.value = "";
      }}
    />
    <p>
      ${text}${" "}
      <button type="button" disabled=${isDisabled} onClick=${() => input.current.click()}>${button}</button>
    </p>
    ${children}
  </div>`;
}
