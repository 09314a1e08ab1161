// A form from a JSON schema, as GET /detectors has it. What is left empty stays out of the value.

import { marked, sentence } from "../../lib/marked.js";
import { html } from "../../lib/preact.js";
import { CheckField, ChoiceField, NumberField, TextField, Field, Part, WordsField, isAbout } from "./fields.js";

/** Options that few need. They are behind "More options". */
const RARE = new Set(["iou", "layout", "input", "names", "more_urls", "timeout_seconds"]);

/** Return the schema without references and without the alternative `null`. */
function resolve(schema, definitions) {
  let found = schema;
  if (found.anyOf) {
    const alternatives = found.anyOf.filter((each) => each.type !== "null");
    if (alternatives.length === 1) found = { ...found, ...alternatives[0], anyOf: undefined };
  }
  if (found.$ref) found = { ...definitions[found.$ref], ...found, $ref: undefined };
  return found;
}

/** Return the label of a field: `min_area` is "Min area". */
function labelOf(name) {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

function hintOf(schema) {
  const { minimum, maximum, exclusiveMinimum } = schema;
  const least = minimum ?? exclusiveMinimum;
  const range = least !== undefined && maximum !== undefined ? `${least} to ${maximum}` : "";
  const isPlain = !schema.enum && ["number", "string", "boolean"].includes(typeof schema.default);
  const given = isPlain ? `default ${schema.default}` : "";
  const text = [schema.description, [range, given].filter(Boolean).join(", ")].filter(Boolean).join(" · ");
  return marked(sentence(text));
}

/** Return the form of one option. */
function Option({ name, schema: given, definitions, value, onInput, problem, field }) {
  const schema = resolve(given, definitions);
  const common = { label: labelOf(name), hint: hintOf(schema), field, problem, value, onInput };
  if (schema.enum) {
    const first = (schema.default ?? null) === null ? "not stated" : `${schema.default} (default)`;
    const others = schema.enum.filter((each) => each !== schema.default);
    const choices = [["", first], ...others.map((each) => [String(each), String(each)])];
    const take = (text) => onInput(schema.enum.find((each) => String(each) === text));
    return html`<${ChoiceField}
      ...${common}
      value=${value === undefined ? "" : String(value)}
      choices=${choices}
      onInput=${take}
    />`;
  }
  switch (schema.type) {
    case "boolean":
      return html`<${CheckField} ...${common} value=${value ?? schema.default ?? false} />`;
    case "integer":
    case "number":
      return html`<${NumberField}
        ...${common}
        min=${schema.minimum}
        max=${schema.maximum}
        step=${schema.type === "integer" ? 1 : "any"}
        placeholder=${schema.default ?? ""}
      />`;
    case "string":
      return html`<${TextField}
        ...${common}
        value=${value ?? ""}
        placeholder=${schema.examples?.[0] ?? ""}
        onInput=${(text) => onInput(text || undefined)}
      />`;
    case "object":
      return html`<fieldset class="group">
        <legend>${labelOf(name)}</legend>
        <${SchemaForm}
          schema=${schema}
          definitions=${definitions}
          value=${value ?? {}}
          onChange=${(next) => onInput(Object.keys(next).length ? next : undefined)}
          problem=${problem}
          field=${field}
        />
      </fieldset>`;
    case "array":
      return html`<${ListOption} ...${common} schema=${schema} definitions=${definitions} />`;
    default:
      return null;
  }
}

function ListOption({ schema, definitions, value, onInput, ...common }) {
  if (schema.prefixItems) {
    const take = (text) => {
      const numbers = text.split(",").map((part) => part.trim()).filter(Boolean).map(Number);
      onInput(numbers.length ? numbers : undefined);
    };
    const control = (attributes) =>
      html`<input
        type="text"
        placeholder="0.485, 0.456, 0.406"
        ...${attributes}
        value=${value?.join(", ") ?? ""}
        onChange=${(event) => take(event.currentTarget.value)}
      />`;
    return html`<${Field} ...${common} control=${control} />`;
  }
  const items = resolve(schema.items ?? {}, definitions);
  if (items.enum && items.enum.length <= 6) {
    const chosen = value ?? schema.default ?? [];
    const toggle = (each, isOn) => onInput(items.enum.filter((one) => (one === each ? isOn : chosen.includes(one))));
    return html`<fieldset class="group">
      <legend>${common.label}</legend>
      ${items.enum.map(
        (each) => html`<${CheckField}
          key=${each}
          label=${each}
          field=${common.field}
          value=${chosen.includes(each)}
          onInput=${(isOn) => toggle(each, isOn)}
        />`,
      )}
      ${common.hint && html`<p class="hint">${common.hint}</p>`}
    </fieldset>`;
  }
  return html`<${WordsField}
    ...${common}
    value=${value}
    choices=${items.enum}
    quick=${["people", "vehicles", "animals"]}
    onInput=${onInput}
  />`;
}

/**
 * The options of an object schema. `own` has functions that make the controls of some options, by name.
 * @param {{schema: object, value: object, onChange: (value: object) => void, problem: any, field: string,
 *   definitions?: object, own?: Record<string, (props: object) => any>}} props
 */
export function SchemaForm({ schema, value, onChange, problem, field, definitions = schema.$defs ?? {}, own = {} }) {
  const names = Object.keys(schema.properties ?? {}).filter((name) => name !== "type");
  const set = (name, next) => {
    const { [name]: _, ...others } = value;
    onChange(next === undefined ? others : { ...others, [name]: next });
  };
  const option = (name) => {
    const props = {
      name,
      schema: schema.properties[name],
      definitions,
      value: value[name],
      onInput: (next) => set(name, next),
      problem,
      field: `${field}.${name}`,
    };
    return own[name] ? own[name](props) : html`<${Option} key=${name} ...${props} />`;
  };
  const rare = names.filter((name) => RARE.has(name));
  return html`<div class="fields">
    ${names.filter((name) => !RARE.has(name)).map(option)}
    ${rare.length > 0 &&
    html`<${Part} title="More options" isOpen=${rare.some((name) => isAbout(problem, `${field}.${name}`))}>
      <div class="fields">${rare.map(option)}</div>
    <//>`}
  </div>`;
}
