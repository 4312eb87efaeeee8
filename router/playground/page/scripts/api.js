import { events } from "./events.js";

const UNREACHABLE = "The server cannot be reached. Is it still running?";
const CUT_OFF = "The connection broke off before the answer was whole.";

/** What went wrong, in a sentence for people. `status` is HTTP's, or 0 if there was no answer. */
export class ApiError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** The server's API. Paths are relative to the page, so that it may be served from any folder. */
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
    const headers = {};
    if (this.hasKey) headers.Authorization = `Bearer ${this.#key()}`;
    if (body) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
    } catch (failure) {
      throw isAbort(failure) ? failure : new ApiError(UNREACHABLE);
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }
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
