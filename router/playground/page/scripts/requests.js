import { optionsOf, summaryOf } from "./settings.js";

const ALTERNATIVES = 5;
const STREAMED = { stream: true, stream_options: { include_usage: true }, diffusing: true };

/** What one answer is asked with: the path, how to come by the body, and what its canvas is going to look like. */
class Request {
  constructor(path, model, settings) {
    this.path = path;
    this.summary = summaryOf(settings);
    this.length = settings.max_tokens;
    this.blockLength = settings.block_length;
    this.options = { model: model.id, ...optionsOf(settings, model.defaults) };
  }
}

/** The next message of a conversation. */
export class ChatRequest extends Request {
  #messages;

  constructor(model, settings, messages) {
    super("v1/chat/completions", model, settings);
    this.#messages = messages;
  }

  /** As it would be sent by somebody who wants nothing but the answer. */
  async plainBody() {
    return { ...this.options, messages: this.#messages };
  }

  async body() {
    return { ...(await this.plainBody()), ...STREAMED, logprobs: true, top_logprobs: ALTERNATIVES };
  }
}

/** What stands between two texts: within the answer to a message, if there is one. */
export class FillRequest extends Request {
  #message;
  #before;
  #after;

  constructor(model, settings, { message, before, after, gap }) {
    const { block_length: block, steps } = settings;
    super("v1/completions", model, {
      ...settings,
      max_tokens: gap,
      block_length: Math.min(block, gap),
      steps: Math.min(steps, gap),
    });
    this.#message = message;
    this.#before = before;
    this.#after = after;
  }

  async plainBody(api, signal) {
    const body = { ...this.options, prompt: await this.#prompt(api, signal) };
    return this.#after ? { ...body, suffix: this.#after } : body;
  }

  async body(api, signal) {
    return { ...(await this.plainBody(api, signal)), ...STREAMED, logprobs: ALTERNATIVES };
  }

  /** The answer begins behind the chat template, of which only the server knows the tokens. */
  async #prompt(api, signal) {
    if (!this.#message) return this.#before;
    const { model } = this.options;
    const asked = await api.tokens({ model, messages: [{ role: "user", content: this.#message }] }, signal);
    if (!this.#before) return asked;
    return [...asked, ...(await api.tokens({ model, prompt: this.#before, add_special_tokens: false }, signal))];
  }
}
