// A form's controls: each has a label, a hint, and the API's sentence if a problem names its field.

import { marked } from "../../lib/marked.js";
import { html, useEffect, useId, useRef } from "../../lib/preact.js";

/** Return whether the problem is about the field, or a part of it: `zones[1]` is a part of `zones`. */
export function isAbout(problem, field) {
  const named = problem?.field;
  if (!named || !field) return false;
  return named === field || named.startsWith(`${field}.`) || named.startsWith(`${field}[`);
}

/**
 * Return a function that ties a control to a value of a form, by its name there and in the API:
 * `<${TextField} label="Name" ...${tied("name")} />`.
 */
export function tie(form, set, problem) {
  return (name, field = name) => ({ field, problem, value: form[name], onInput: (value) => set({ [name]: value }) });
}

/** A part that is closed at first. It opens when `isOpen` becomes true, and closes only by hand. */
export function Part({ title, isOpen, children }) {
  const details = useRef(null);
  useEffect(() => {
    if (isOpen) details.current.open = true;
  }, [isOpen]);
  return html`<details ref=${details}><summary>${title}</summary>${children}</details>`;
}

/**
 * A labelled control. `control` gets the attributes that join it to its label, hint and problem.
 * @param {{label: any, hint?: any, field?: string, problem?: any, control: (attributes: object) => any}} props
 */
export function Field({ label, hint, field, problem, control }) {
  const id = useId();
  const own = isAbout(problem, field) ? problem : null;
  const describedBy = [hint && `${id}-hint`, own && `${id}-problem`].filter(Boolean).join(" ");
  const attributes = {
    id,
    "data-field": field,
    "aria-describedby": describedBy || undefined,
    "aria-invalid": own ? "true" : undefined,
  };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${control(attributes)}
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${own && html`<p class="field-problem" id=${`${id}-problem`}>${marked(own.sentence)}</p>`}
  </div>`;
}

/** A text field. */
export function TextField({ label, hint, field, problem, value, onInput, ...rest }) {
  const control = (attributes) =>
    html`<input
      type="text"
      autocomplete="off"
      spellcheck=${false}
      ...${rest}
      ...${attributes}
      value=${value}
      onInput=${(event) => onInput(event.currentTarget.value)}
    />`;
  return html`<${Field} ...${{ label, hint, field, problem, control }} />`;
}

/** A number field. Its value is a number, or undefined if it is empty. */
export function NumberField({ label, hint, field, problem, value, onInput, ...rest }) {
  const take = (event) => {
    const { value: text, valueAsNumber } = event.currentTarget;
    onInput(text === "" || Number.isNaN(valueAsNumber) ? undefined : valueAsNumber);
  };
  const control = (attributes) =>
    html`<input type="number" step="any" ...${rest} ...${attributes} value=${value ?? ""} onInput=${take} />`;
  return html`<${Field} ...${{ label, hint, field, problem, control }} />`;
}

/** A choice of a few. `choices` are [value, text]. */
export function ChoiceField({ label, hint, field, problem, value, choices, onInput, ...rest }) {
  const control = (attributes) =>
    html`<select ...${rest} ...${attributes} value=${value} onChange=${(event) => onInput(event.currentTarget.value)}>
      ${choices.map(
        ([each, text]) => html`<option key=${each} value=${each} selected=${each === value}>${text}</option>`,
      )}
    </select>`;
  return html`<${Field} ...${{ label, hint, field, problem, control }} />`;
}

/** A switch. */
export function CheckField({ label, hint, field, problem, value, onInput, ...rest }) {
  const id = useId();
  const own = isAbout(problem, field) ? problem : null;
  return html`<div class="field">
    <label class="check">
      <input
        type="checkbox"
        ...${rest}
        data-field=${field}
        checked=${value}
        aria-describedby=${hint ? `${id}-hint` : undefined}
        onChange=${(event) => onInput(event.currentTarget.checked)}
      />
      <span>${label}</span>
    </label>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${own && html`<p class="field-problem">${marked(own.sentence)}</p>`}
  </div>`;
}

/** Words that are chosen from `choices`, or freely if there are none. The value is a list, or undefined. */
export function WordsField({ label, hint, field, problem, value, choices, quick = [], onInput }) {
  const id = useId();
  const words = value ?? [];
  const set = (next) => onInput(next.length ? next : undefined);
  const add = (input) => {
    const word = input.value.trim();
    if (word && !words.includes(word)) set([...words, word]);
    input.value = "";
  };
  const control = (attributes) => html`
    <div class="words">
      ${words.map(
        (word) => html`<button
          key=${word}
          type="button"
          class="chip"
          aria-label=${`Remove ${word}`}
          onClick=${() => set(words.filter((each) => each !== word))}
        >
          ${word} <span aria-hidden="true">×</span>
        </button>`,
      )}
      <input
        type="text"
        autocomplete="off"
        list=${choices ? `${id}-choices` : undefined}
        placeholder=${words.length ? "" : "all"}
        ...${attributes}
        onKeyDown=${(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          add(event.currentTarget);
        }}
        onInput=${(event) => {
          if (choices?.includes(event.currentTarget.value) && !event.inputType?.startsWith("insertText"))
            if (!event.inputType?.startsWith("delete")) add(event.currentTarget);
        }}
        onChange=${(event) => add(event.currentTarget)}
      />
      ${choices &&
      html`<datalist id=${`${id}-choices`}>
        ${choices.map((each) => html`<option key=${each} value=${each} />`)}
      </datalist>`}
      ${quick
        .filter((word) => choices?.includes(word) && !words.includes(word))
        .map(
          (word) => html`<button
            key=${`+${word}`}
            type="button"
            class="chip suggested"
            onClick=${() => set([...words, word])}
          >
            + ${word}
          </button>`,
        )}
    </div>
  `;
  return html`<${Field} ...${{ label, hint, field, problem, control }} />`;
}
