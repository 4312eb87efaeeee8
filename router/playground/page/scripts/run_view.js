import { Canvas } from "./canvas.js";
import { Copying } from "./copying.js";
import { element, newId, setText } from "./elements.js";
import { Figures } from "./figures.js";
import { Inspector } from "./inspector.js";
import { Replay } from "./replay.js";
import { Scrubber } from "./scrubber.js";
import { stateInWords } from "./wording.js";

/** One run as it can be watched: its answer, its canvas, and the way there. */
export class RunView {
  #run;
  #end = Infinity;
  #replay;
  #inspector;
  #canvas;
  #scrubber;
  #figures = new Figures();
  #answer = element("p", { class: "answer", dir: "auto" });
  #state = element("p", { class: "state faint" });
  #problem = element("p", { class: "trouble", role: "alert", hidden: true });

  /** `title` is shown, `name` is what tells it from all others on the page. */
  constructor(run, title, name, api) {
    this.#run = run;
    const { recording } = run;
    this.#replay = new Replay(recording, (frame) => this.#show(frame));
    this.#inspector = new Inspector(recording, newId("inspector"));
    this.#canvas = new Canvas(recording, (position) => this.#point(position), this.#inspector.id);
    this.#scrubber = new Scrubber(this.#replay, recording);
    this.element = element(
      "section",
      { class: "run", "aria-label": name },
      element("h2", {}, title, " ", element("span", { class: "faint" }, run.request.summary)),
      this.#answer,
      this.#problem,
      this.#canvas.element,
      this.#scrubber.element,
      this.#inspector.element,
      this.#figures.element,
      element("footer", {}, this.#state, new Copying(run.request, api).element),
    );
    this.#show(0);
  }

  /** The run has changed. */
  update() {
    const run = this.#run;
    if (run.state === "done" && run.finishReason === "stop") this.#end = run.tokens;
    this.element.dataset.state = run.state;
    setText(this.#state, stateInWords(run));
    this.element.classList.toggle("refused", run.state === "failed" && run.recording.lastFrame === 0);
    this.#problem.hidden = run.problem === null;
    setText(this.#problem, run.problem?.message ?? "");
    this.#figures.draw(run);
    this.#replay.isWhole = run.isOver;
    this.#replay.extend();
  }

  #point(position) {
    this.#inspector.point(position, this.#replay.frame, this.#replay.isFinished);
  }

  #show(frame) {
    const { recording } = this.#run;
    this.#canvas.draw(frame, this.#replay.isAtEnd ? this.#end : Infinity);
    this.#answer.textContent = recording.textAt(frame);
    this.#scrubber.draw(frame);
    this.#inspector.draw(frame, this.#replay.isFinished);
  }
}
