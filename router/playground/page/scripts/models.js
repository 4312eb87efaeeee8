import { element } from "./elements.js";

const AGAIN = 2000; // milliseconds until a server that has no model yet is asked once more
const NO_MODEL = "No worker has said yet which model it serves. This page goes on asking.";
const UNAUTHORIZED = 401;

/** Which models there are, and which of them is chosen. */
export class Models {
  #api;
  #select;
  #trouble;
  #onchoose;
  #onkey;
  #timer = 0;
  #models = [];

  /** `onchoose` is called with the model that is chosen, `onkey` where the server asks for a key. */
  constructor(api, select, trouble, { onchoose, onkey }) {
    this.#api = api;
    this.#select = select;
    this.#trouble = trouble;
    this.#onchoose = onchoose;
    this.#onkey = onkey;
    select.addEventListener("change", () => onchoose(this.chosen));
  }

  get chosen() {
    return this.#models.find((model) => model.id === this.#select.value);
  }

  /** Asks the server, until it has one. */
  async load() {
    clearTimeout(this.#timer);
    try {
      this.#models = await this.#api.models();
      this.#say(this.#models.length ? "" : NO_MODEL);
    } catch (problem) {
      this.#say(problem.message);
      if (problem.status === UNAUTHORIZED) {
        this.#onkey();
        return;
      }
    }
    if (this.#models.length) this.#offer();
    else this.#timer = setTimeout(() => this.load(), AGAIN);
  }

  #offer() {
    this.#select.replaceChildren(...this.#models.map(({ id }) => element("option", { value: id }, id)));
    this.#onchoose(this.chosen);
  }

  #say(sentence) {
    this.#trouble.hidden = !sentence;
    this.#trouble.textContent = sentence;
  }
}
