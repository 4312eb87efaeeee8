import { element } from "./elements.js";
import { Run } from "./run.js";
import { RunView } from "./run_view.js";
import { counted } from "./wording.js";

/** What was asked once, and the answers of one run or of two side by side. */
export class Turn {
  #asked;
  #isCompared;
  #number;
  #runs = new Map();
  #verdict;

  /** `requests` are by side, in the order in which they are shown; `number` tells turns apart. */
  constructor(asked, requests, number, api) {
    this.#asked = asked;
    this.#number = number;
    this.#verdict = element("p", { class: "verdict", hidden: requests.size === 1 }, "Both at work …");
    this.#isCompared = requests.size > 1;
    const views = [...requests].map(([side, request]) => this.#view(side, request, api));
    this.element = element(
      "article",
      { class: "turn", "aria-label": `Question ${number}` },
      element("div", { class: "said" }, ...asked.shown),
      this.#verdict,
      element("div", { class: "runs" }, ...views),
    );
  }

  /** What went wrong in all of its runs, or nothing. */
  get problem() {
    const problems = [...this.#runs.values()].map((run) => run.problem);
    return problems.every(Boolean) ? problems[0] : null;
  }

  /** Question and answer, as the messages that come after them are to begin with; none without a whole answer. */
  messages(side) {
    const run = this.#runs.get(side) ?? this.#runs.values().next().value;
    if (!this.#asked.isChat || run.state !== "done") return [];
    return [
      { role: "user", content: this.#asked.message },
      { role: "assistant", content: run.recording.text },
    ];
  }

  async run() {
    await Promise.all([...this.#runs.values()].map((run) => run.start()));
    if (this.#isCompared) this.#verdict.textContent = compared(...this.#runs);
  }

  stop() {
    for (const run of this.#runs.values()) run.stop();
  }

  /** What a screen reader is to say when it is over; of what went wrong it has heard already. */
  get told() {
    const over = [...this.#runs].filter(([, run]) => run.state !== "failed");
    return over.map(([side, run]) => `${this.#title(side)}: ${run.state === "done" ? run.recording.text : "stopped."}`).join(" ");
  }

  #title(side) {
    return this.#isCompared ? side : "Answer";
  }

  #view(side, request, api) {
    const run = new Run(api, request, () => view.update());
    const title = this.#title(side);
    const name = this.#isCompared ? `${title}, answer ${this.#number}` : `${title} ${this.#number}`;
    const view = new RunView(run, title, name, api);
    this.#runs.set(side, run);
    return view.element;
  }
}

function compared([one, first], [other, second]) {
  if (first.state !== "done" || second.state !== "done") return "Not both came to an end.";
  const same = first.recording.text === second.recording.text ? "The same answer" : "Another answer";
  const passes = counted(second.forwardPasses, "forward pass", "forward passes");
  return `${same}: ${other} took ${passes}, and ${one} ${first.forwardPasses}.`;
}
