import { events } from "./events.js";

const UNREACHABLE = "The server cannot be reached. Is it still running?";
const KEY_MISSING = "This server asks for an API key: enter it in the settings.";
const KEY_WRONG = "The server does not accept this API key.";
const NO_KEY = "The API key has characters that no key has.";
const UNAUTHORIZED = 401;
const CUT_OFF = "The connection broke off before the answer was whole.";

/** What went wrong, in a sentence for people. `status` is HTTP's, given or sure to come; 0 if there is none. */
export class ApiError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }

  get isAboutKey() {
    return this.status === UNAUTHORIZED;
  }
}

/** The server's API. */
export class Api {
  #key;

  /** `key` gives the API key as it is now, or nothing. */
  constructor(key) {
    this.#key = key;
  }

  get hasKey() {
    return Boolean(this.#key());
  }

  async models() {
    const response = await this.#ask("v1/models");
    return (await response.json()).data;
  }

  /** The token ids of what `fields` say: a prompt or messages. */
  async tokens(fields, signal) {
    const response = await this.#ask("tokenize", { body: fields, signal });
    return (await response.json()).tokens;
  }

  /** The events of a streamed reply, parsed. Throws an `ApiError`, also for one that is told in the stream. */
  async *reply(path, body, signal) {
    const response = await this.#ask(path, { body, signal });
    let whole = false;
    try {
      for await (const data of events(response.body)) {
        if (data === "[DONE]") {
          whole = true;
          continue;
        }
        const event = JSON.parse(data);
        if (event.error) throw new ApiError(event.error.message, response.status);
        yield event;
      }
    } catch (failure) {
      throw isAbort(failure) || failure instanceof ApiError ? failure : new ApiError(CUT_OFF);
    }
    if (!whole) throw new ApiError(CUT_OFF);
  }

  async #ask(path, { body, signal } = {}) {
    const headers = { ...this.#authorization(), ...(body && { "Content-Type": "application/json" }) };
    const method = body ? "POST" : "GET";
    let response;
    try {
      response = await fetch(urlOf(path), { method, headers, body: body && JSON.stringify(body), signal });
    } catch (failure) {
      throw isAbort(failure) ? failure : new ApiError(UNREACHABLE);
    }
    if (response.status === UNAUTHORIZED) throw new ApiError(this.hasKey ? KEY_WRONG : KEY_MISSING, UNAUTHORIZED);
    if (!response.ok) throw await refusal(response);
    return response;
  }

  #authorization() {
    if (!this.hasKey) return {};
    if (!/^[!-~]+$/.test(this.#key())) throw new ApiError(NO_KEY, UNAUTHORIZED);
    return { Authorization: `Bearer ${this.#key()}` };
  }
}

/** Beside the page, in whatever folder a proxy serves it; without the name and password that its address may hold. */
export function urlOf(path) {
  return new URL(path, location.origin + location.pathname).href;
}

/** Whether it was us who gave up. */
export function isAbort(failure) {
  return failure.name === "AbortError";
}

async function refusal(response) {
  const told = await response.json().catch(() => null);
  const message = told?.error?.message ?? `The server answered with HTTP status ${response.status}.`;
  return new ApiError(message, response.status);
}
