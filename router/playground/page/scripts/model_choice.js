import { element, setText } from "./elements.js";

/** Shows which models there are, and which of them is chosen. */
export class ModelChoice {
  #models;
  #select;
  #trouble;
  #onchoose;

  /** `onchoose` is called with the model that is chosen, whenever it may be another one. */
  constructor(models, select, trouble, onchoose) {
    this.#models = models;
    this.#select = select;
    this.#trouble = trouble;
    this.#onchoose = onchoose;
    select.addEventListener("change", () => this.chosen && onchoose(this.chosen)); // those offered may be gone
    select.addEventListener("focus", () => models.load());
  }

  get chosen() {
    return this.#models.served.find((model) => model.id === this.#select.value);
  }

  draw() {
    const { served, problem, trouble } = this.#models;
    this.#trouble.hidden = !trouble;
    setText(this.#trouble, trouble);
    if (problem || !served.length) return;
    this.#offer(served.map(({ id }) => id));
    this.#onchoose(this.chosen);
  }

  /** What was chosen stays chosen, if it is still there. */
  #offer(ids) {
    const offered = [...this.#select.options].map(({ value }) => value);
    if (ids.join("\n") === offered.join("\n")) return;
    const { value } = this.#select;
    this.#select.replaceChildren(...ids.map((id) => element("option", { value: id }, id)));
    if (ids.includes(value)) this.#select.value = value;
  }
}
