const AGAIN = 2000; // milliseconds until a server that has no model yet is asked once more
const NO_MODEL = "No worker has said yet which model it serves. This page goes on asking.";

/** The models that the server has, asked for until there is one. */
export class Models {
  #api;
  #onchange;
  #timer = 0;
  #asked = 0;

  served = [];
  problem = null; // with the last answer

  /** `onchange` is called after each answer that counts. */
  constructor(api, onchange) {
    this.#api = api;
    this.#onchange = onchange;
  }

  /** What keeps people from choosing one, in a sentence; empty if nothing does. */
  get trouble() {
    return this.problem?.message ?? (this.served.length ? "" : NO_MODEL);
  }

  get needsKey() {
    return Boolean(this.problem?.isAboutKey);
  }

  /** Asks the server. Only the last answer counts: with another key it may be another one. */
  async load() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    const number = this.#asked;
    const answer = await this.#ask();
    if (number !== this.#asked) return;
    Object.assign(this, answer);
    if (this.trouble && !this.needsKey) this.#timer = setTimeout(() => this.load(), AGAIN);
    this.#onchange(this);
  }

  async #ask() {
    try {
      return { served: await this.#api.models(), problem: null };
    } catch (problem) {
      return { problem };
    }
  }
}
