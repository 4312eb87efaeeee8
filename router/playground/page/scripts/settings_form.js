import { button, element, newId } from "./elements.js";
import { FIELDS } from "./setting_fields.js";
import { isKnown } from "./settings.js";

const NO_LONGER = ["block_length", "steps", "steps_per_block"]; // than the canvas

/** The settings of one run, as a group of controls. */
export class SettingsForm {
  #inputs = new Map();
  #rows = new Map();
  #options = FIELDS.map(({ name }) => name); // that the model knows

  /** It begins with `settings`, and `defaults` gives those of the server. */
  constructor(title, settings, defaults) {
    const toDefaults = button("Use the server's defaults", () => this.write(defaults()));
    this.element = element("fieldset", { class: "settings" }, element("legend", {}, title), toDefaults);
    for (const field of FIELDS) this.#add(field);
    this.write(settings);
    this.element.addEventListener("input", () => this.#adapt());
    this.element.addEventListener("change", () => this.#shorten());
  }

  /** What it is for: how many tokens the model holds, and which options it knows. */
  set model({ max_model_len: longest, options }) {
    this.#inputs.get("max_tokens").max = longest;
    this.#options = options;
    this.#adapt();
  }

  /** Numbers as numbers; null for what is left empty or unknown to the model. */
  read() {
    const read = {};
    for (const { name, kind } of FIELDS) {
      const { value } = this.#inputs.get(name);
      if (value === "" || !isKnown(name, this.#options)) read[name] = null;
      else read[name] = kind === "number" ? Number(value) : value;
    }
    return read;
  }

  write(settings) {
    for (const { name } of FIELDS) this.#inputs.get(name).value = settings[name] ?? "";
    this.#adapt();
  }

  #add({ name, label, hint, kind, range, choices, optional }) {
    const input =
      kind === "number"
        ? element("input", { name, type: "number", inputmode: "decimal", required: !optional, ...range })
        : element("select", { name }, ...Object.entries(choices).map(([value, text]) => element("option", { value }, text)));
    const row = settingRow(label, input, hint);
    if (name !== "rule") input.before(element("code", { "aria-hidden": "true" }, ` ${name}`));
    this.#inputs.set(name, input);
    this.#rows.set(name, row);
    this.element.append(row);
  }

  /** One rule at a time, and nothing that the model does not know. */
  #adapt() {
    const { value: chosen, options: rules } = this.#inputs.get("rule");
    for (const rule of rules) rule.hidden = rule.disabled = !isKnown(rule.value, this.#options);
    for (const { name, rule } of FIELDS) {
      const isUnused = !isKnown(name, this.#options) || (rule && name !== chosen);
      this.#rows.get(name).hidden = this.#inputs.get(name).disabled = Boolean(isUnused);
    }
    for (const name of NO_LONGER) this.#inputs.get(name).max = this.#inputs.get("max_tokens").value;
  }

  /** What was right for a longer canvas becomes right for this one. */
  #shorten() {
    for (const name of NO_LONGER) {
      const input = this.#inputs.get(name);
      if (input.validity.rangeOverflow) input.value = input.max;
    }
  }
}

/** A control with its label, and below it what it does. */
export function settingRow(label, input, hint) {
  input.id = newId("setting");
  const id = `${input.id}-hint`;
  input.setAttribute("aria-describedby", id);
  return element(
    "div",
    { class: "setting" },
    element("label", { for: input.id }, label),
    input,
    element("p", { class: "hint", id }, hint),
  );
}
