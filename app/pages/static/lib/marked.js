/** Sentences of the API, which name fields and values between backticks. */
import { html } from "./preact.js";

const CODE = /`([^`\n]+)`/g;

/** Return a sentence as text and elements: what is between backticks is code. Null and undefined stay. */
export function marked(text) {
  return text && text.split(CODE).map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));
}

/** Return a sentence with a capital at its beginning, if that is a word and no name such as "yard/cam.mp4". */
export const sentence = (text) => text?.replace(/^[a-z]+(?=[ ,]|$)/, (word) => word[0].toUpperCase() + word.slice(1));

/** Return a sentence without backticks, for what can hold only text: titles and names. */
export const plain = (text) => text?.replace(CODE, "$1");
