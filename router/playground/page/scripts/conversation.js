import { Turn } from "./turn.js";

/** What was said so far, turn by turn; each side of a comparison has had answers of its own. */
export class Conversation {
  #turns = [];
  #count = 0;
  #element;

  constructor(element) {
    this.#element = element;
  }

  /** The messages so far, with the answers that `side` gave. */
  messages(side) {
    return this.#turns.flatMap((turn) => turn.messages(side));
  }

  /** Runs `requests`, by side, all at once, and returns when all of them are over. */
  async ask(asked, requests, api) {
    this.#count += 1;
    const turn = new Turn(asked, requests, this.#count, api);
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
    this.#count = 0;
    this.#element.replaceChildren();
  }
}
