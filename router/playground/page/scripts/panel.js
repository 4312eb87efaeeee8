import { button, element, newId } from "./elements.js";
import { serverSettings, settingsToServe, settingsToWatch } from "./settings.js";
import { SettingsForm, settingRow } from "./settings_form.js";

// What tiles are coloured by, and what its scale goes from and to.
const COLOURS = {
  pass: ["when they were committed", "first pass", "last pass"],
  probability: ["how sure the model was", "unsure", "sure"],
};
const LEGEND =
  "Grey: masked. With a border: committed by the pass that is shown. Dashed: behind the end of the answer. " +
  "␣ is a blank, ↵ a line break, ◇ a special token.";

/** All that can be set beside what is asked. */
export class Panel {
  #form;
  #model; // that is chosen
  #forms = new Map(); // its own, by side
  #formsByModel = new Map();
  #groups = element("div", { class: "groups" });
  #compare;
  #keyRow;

  /** `form` is where it is shown. */
  constructor(form) {
    this.#form = form;
    this.#compare = element("input", { type: "checkbox", id: newId("compare"), onchange: () => this.#arrange() });
    this.system = element("textarea", { rows: 2 });
    this.key = element("input", { type: "password", autocomplete: "off" });
    this.#keyRow = element(
      "details",
      { class: "key" },
      element("summary", {}, "API key"),
      settingRow("Key", this.key, "Kept by this tab alone, until it is closed or loaded again."),
    );
    form.addEventListener("submit", (event) => event.preventDefault());
    form.append(
      element("div", { class: "check" }, this.#compare, element("label", { for: this.#compare.id }, "Compare two settings")),
      this.#colours(),
      this.#groups,
      settingRow("System message", this.system, "Comes before the conversation."),
      this.#keyRow,
    );
  }

  /** The sides that are asked, with their settings. */
  get sides() {
    const shown = [...this.#forms].filter(([side]) => side === "A" || this.#compare.checked);
    return shown.map(([side, form]) => [side, form.read()]);
  }

  set isComparing(isComparing) {
    this.#compare.checked = isComparing;
    this.#arrange();
  }

  /** Points out what cannot be used, and says whether all can. */
  areUsable() {
    return this.#form.reportValidity();
  }

  /** Shows the settings for a model: those that it was left with, or such as suit it. */
  suit(model) {
    this.#model = model;
    const forms = this.#formsByModel.get(model.id) ?? this.#formsFor(model);
    for (const form of forms.values()) form.model = model;
    if (forms === this.#forms) return;
    this.#forms = forms;
    this.#formsByModel.set(model.id, forms);
    this.#groups.replaceChildren(...[...forms.values()].map((form) => form.element));
    this.#arrange();
  }

  showKey() {
    this.#keyRow.open = true;
  }

  /** Asks for a key, as the server does. */
  askForKey() {
    this.showKey();
    setTimeout(() => this.key.focus()); // not while the focus is still on its way to somewhere else
  }

  #formsFor(model) {
    const defaults = () => serverSettings(this.#model); // as they are by then
    return new Map([
      ["A", new SettingsForm("A", settingsToWatch(model), defaults)],
      ["B", new SettingsForm("B", settingsToServe(model), defaults)],
    ]);
  }

  #arrange() {
    const second = this.#forms.get("B")?.element;
    if (!second) return;
    second.hidden = second.disabled = !this.#compare.checked;
    this.#groups.classList.toggle("compared", this.#compare.checked);
  }

  #colours() {
    const from = element("span");
    const to = element("span");
    const choose = (colour) => {
      document.documentElement.dataset.colour = colour;
      [, from.textContent, to.textContent] = COLOURS[colour];
    };
    const choices = Object.entries(COLOURS).map(([colour, [label]]) => {
      const properties = { type: "radio", name: "colour", checked: colour === "pass", onchange: () => choose(colour) };
      return element("label", {}, element("input", properties), label);
    });
    choose("pass");
    return element(
      "fieldset",
      { class: "colours" },
      element("legend", {}, "Tiles are coloured by"),
      ...choices,
      element("div", { class: "scale" }),
      element("div", { class: "ends hint" }, from, to),
      element("p", { class: "hint" }, LEGEND),
    );
  }
}
