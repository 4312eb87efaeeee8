import { element } from "./elements.js";
import { duration, rounded } from "./wording.js";

const NONE = "–";
const FIGURES = {
  "tokens per second": ({ tokens, seconds }) => (tokens ? rounded(tokens / seconds) : NONE),
  "forward passes": ({ forwardPasses }) => String(forwardPasses),
  "tokens per pass": ({ tokens, forwardPasses }) => (forwardPasses ? rounded(tokens / forwardPasses) : NONE),
  "to first text": ({ secondsToText }) => (secondsToText === null ? NONE : duration(secondsToText)),
  "total time": ({ seconds }) => duration(seconds),
};

/** Returns what a run costs, by name, in words. */
export function figuresOf(run) {
  return Object.fromEntries(Object.entries(FIGURES).map(([name, inWords]) => [name, inWords(run)]));
}

/** Shows what a run costs, while it runs and after. */
export class Figures {
  #values = new Map();

  constructor() {
    this.element = element("dl", { class: "figures" });
    for (const name of Object.keys(FIGURES)) {
      const value = element("dd");
      this.#values.set(name, value);
      this.element.append(element("div", {}, element("dt", {}, name), value));
    }
  }

  draw(run) {
    for (const [name, figure] of Object.entries(figuresOf(run))) this.#values.get(name).textContent = figure;
  }
}
