import { optionsOf, ownOptionsOf, summaryOf, withLength } from "./settings.js";

const ALTERNATIVES = 5;
const STREAMED = { stream: true, stream_options: { include_usage: true }, diffusing: true };

/** Returns the request for what was asked; only a chat comes after the messages `before`. */
export function requestOf(asked, model, settings, system, before) {
  if (asked.isChat) return new ChatRequest(model, settings, messagesOf(system, asked.message, before));
  const messages = asked.message ? messagesOf(system, asked.message, []) : [];
  return new FillRequest(model, settings, messages, asked);
}

function messagesOf(system, message, before) {
  const first = system ? [{ role: "system", content: system }] : [];
  return [...first, ...before, { role: "user", content: message }];
}

/** What one answer is asked with: the path, how to come by the body, and what its canvas is going to look like. */
class Request {
  #settings;

  constructor(path, model, settings) {
    this.path = path;
    this.summary = `${model.id} · ${summaryOf(settings)}`;
    this.length = settings.canvas === "grow" ? settings.block_length : settings.max_tokens;
    this.blockLength = settings.block_length;
    this.options = { model: model.id, ...ownOptionsOf(settings, model.defaults) };
    this.#settings = settings;
  }

  /** As the page sends it: every setting is told, since the server's defaults may have become others. */
  async body(api, signal) {
    return { ...(await this.plainBody(api, signal)), ...optionsOf(this.#settings), ...STREAMED, ...this.logprobs };
  }
}

/** The next message of a conversation. */
class ChatRequest extends Request {
  #messages;

  logprobs = { logprobs: true, top_logprobs: ALTERNATIVES };

  constructor(model, settings, messages) {
    super("v1/chat/completions", model, settings);
    this.#messages = messages;
  }

  /** As it would be sent by somebody who wants nothing but the answer. */
  async plainBody() {
    return { ...this.options, messages: this.#messages };
  }
}

/** What stands between two texts, be it within an answer. */
class FillRequest extends Request {
  #messages;
  #before;
  #after;

  logprobs = { logprobs: ALTERNATIVES };

  /** `messages` is what the answer is to; none, if the texts stand for themselves. */
  constructor(model, settings, messages, { before, after, gap }) {
    // Nothing can stand behind a canvas that grows.
    const canvas = after && settings.canvas === "grow" ? "fixed" : settings.canvas;
    // Thinking is a matter of chats.
    super("v1/completions", model, { ...withLength(settings, gap), canvas, end_of_thinking_boost: null });
    this.#messages = messages;
    this.#before = before;
    this.#after = after;
  }

  async plainBody(api, signal) {
    const body = { ...this.options, prompt: await this.#prompt(api, signal) };
    return this.#after ? { ...body, suffix: this.#after } : body;
  }

  /** The answer begins behind the chat template, of which only the server knows the tokens. */
  async #prompt(api, signal) {
    if (!this.#messages.length) return this.#before;
    const { model } = this.options;
    const asked = await api.tokens({ model, messages: this.#messages }, signal);
    if (!this.#before) return asked;
    return [...asked, ...(await api.tokens({ model, prompt: this.#before, add_special_tokens: false }, signal))];
  }
}
