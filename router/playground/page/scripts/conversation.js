import { Turn } from "./turn.js";

/** What was said so far, turn by turn; each side of a comparison has had answers of its own. */
export class Conversation {
  #turns = [];
  #element;

  constructor(element) {
    this.#element = element;
  }

  get isRunning() {
    return this.#turns.some((turn) => turn.isRunning);
  }

  /** The messages that end with `message`, as `side` is to be asked. */
  messages(side, system, message) {
    const before = this.#turns.flatMap((turn) => turn.messages(side));
    const first = system ? [{ role: "system", content: system }] : [];
    return [...first, ...before, { role: "user", content: message }];
  }

  /** Runs `requests`, by side, all at once, and returns when all of them are over. */
  async ask(asked, requests, api) {
    const turn = new Turn(asked, requests, api);
    this.#turns.push(turn);
    this.#element.append(turn.element);
    turn.element.scrollIntoView({ block: "start" });
    await turn.run();
    return turn;
  }

  stop() {
    for (const turn of this.#turns) turn.stop();
  }

  clear() {
    this.stop();
    this.#turns = [];
    this.#element.replaceChildren();
  }
}
