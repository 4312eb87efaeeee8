import { element, setText } from "./elements.js";

const AGAIN = 2000; // milliseconds until a server that has no model yet is asked once more
const NO_MODEL = "No worker has said yet which model it serves. This page goes on asking.";

/** Which models there are, and which of them is chosen. */
export class Models {
  #api;
  #select;
  #trouble;
  #onchoose;
  #onkey;
  #timer = 0;
  #asked = 0;
  #models = [];

  /** `onchoose` is called with the model that is chosen, `onkey` where the server asks for a key. */
  constructor(api, select, trouble, { onchoose, onkey }) {
    this.#api = api;
    this.#select = select;
    this.#trouble = trouble;
    this.#onchoose = onchoose;
    this.#onkey = onkey;
    select.addEventListener("change", () => this.chosen && onchoose(this.chosen)); // those offered may be gone
    select.addEventListener("focus", () => this.load());
  }

  get chosen() {
    return this.#models.find((model) => model.id === this.#select.value);
  }

  /** Asks the server, until it has one. Only the last answer counts: with another key it may be another one. */
  async load() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    const number = this.#asked;
    try {
      const models = await this.#api.models();
      if (number === this.#asked) this.#hear(models);
    } catch (problem) {
      if (number === this.#asked) this.#fail(problem);
    }
  }

  #hear(models) {
    this.#models = models;
    this.#say(models.length ? "" : NO_MODEL);
    if (models.length) this.#offer();
    else this.#askAgain();
  }

  #fail(problem) {
    this.#say(problem.message);
    if (problem.isAboutKey) this.#onkey();
    else this.#askAgain();
  }

  #askAgain() {
    this.#timer = setTimeout(() => this.load(), AGAIN);
  }

  /** What was chosen stays chosen, if it is still there. */
  #offer() {
    const ids = this.#models.map(({ id }) => id);
    const offered = [...this.#select.options].map(({ value }) => value);
    if (ids.join("\n") !== offered.join("\n")) {
      const { value } = this.#select;
      this.#select.replaceChildren(...ids.map((id) => element("option", { value: id }, id)));
      if (ids.includes(value)) this.#select.value = value;
    }
    this.#onchoose(this.chosen);
  }

  #say(sentence) {
    this.#trouble.hidden = !sentence;
    setText(this.#trouble, sentence);
  }
}
