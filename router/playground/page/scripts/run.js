import { isAbort } from "./api.js";
import { Recording } from "./recording.js";

/** One answer with one choice of settings: asks for it, records how it denoises, and measures it. */
export class Run {
  #api;
  #stopping = new AbortController();
  #began = 0;
  #ended = 0;

  state = "waiting"; // then "denoising", and at last "done", "stopped" or "failed"
  problem = null;
  finishReason = null;
  usage = null;
  secondsToText = null;

  /** `onchange` is called whenever there is something new to see. */
  constructor(api, request, onchange) {
    this.#api = api;
    this.request = request;
    this.onchange = onchange;
    this.recording = new Recording(request.length, request.blockLength);
  }

  get isOver() {
    return ["done", "stopped", "failed"].includes(this.state);
  }

  get seconds() {
    return ((this.#ended || performance.now()) - this.#began) / 1000;
  }

  get forwardPasses() {
    return this.usage?.completion_tokens_details.forward_passes ?? this.recording.stepOf(this.recording.lastFrame);
  }

  /** Of the answer, without end tokens; while it is being written, all that are committed. */
  get tokens() {
    return this.usage?.completion_tokens ?? this.recording.committed;
  }

  /** Never fails: what went wrong is the run's `problem`. */
  async start() {
    this.#began = performance.now();
    this.onchange();
    try {
      const { signal } = this.#stopping;
      const body = await this.request.body(this.#api, signal);
      this.#began = performance.now(); // to make the body may have taken requests of its own
      for await (const event of this.#api.reply(this.request.path, body, signal)) this.#hear(event);
      this.#end("done");
    } catch (failure) {
      if (isAbort(failure)) {
        this.#end("stopped");
      } else {
        this.problem = failure;
        this.#end("failed");
      }
    }
  }

  stop() {
    this.#stopping.abort();
  }

  #hear({ choices, canvas, usage }) {
    this.usage = usage ?? this.usage;
    for (const choice of choices) {
      this.state = "denoising";
      const text = choice.text ?? choice.delta.content ?? "";
      if (text) this.secondsToText ??= this.seconds;
      this.finishReason = choice.finish_reason ?? this.finishReason;
      this.recording.add(text, canvas);
    }
    this.onchange();
  }

  #end(state) {
    this.#ended = performance.now();
    this.state = state;
    this.onchange();
  }
}
