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

/** What a run costs, while it runs and after. */
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
    for (const [name, value] of this.#values) value.textContent = FIGURES[name](run);
  }
}
