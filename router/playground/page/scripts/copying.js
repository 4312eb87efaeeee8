import { urlOf } from "./api.js";
import { button, element } from "./elements.js";
import { asCurl, asPython } from "./snippets.js";

const KINDS = { curl: asCurl, Python: asPython };

/** Buttons that copy a request as code; where the page may not write to the clipboard, the code is shown instead. */
export class Copying {
  #request;
  #api;
  #said = element("span", { class: "faint", role: "status" });

  constructor(request, api) {
    this.#request = request;
    this.#api = api;
    const buttons = Object.keys(KINDS).map((kind) => button(`Copy as ${kind}`, () => this.#copy(kind)));
    this.element = element("div", { class: "copying" }, ...buttons, this.#said);
  }

  async #copy(kind) {
    try {
      const body = await this.#request.plainBody(this.#api);
      const code = KINDS[kind](urlOf(this.#request.path), body, this.#api.hasKey);
      if (await isWritten(code)) this.#say(`Copied as ${kind}.`);
      else show(kind, code);
    } catch (problem) {
      this.#say(problem.message);
    }
  }

  #say(sentence) {
    this.#said.textContent = sentence;
  }
}

/** Whether the clipboard has it now; browsers keep it from pages that did not come over HTTPS or from this machine. */
async function isWritten(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function show(kind, code) {
  const title = `The request as ${kind}`;
  const text = element("textarea", { readonly: true, rows: 12, "aria-label": title });
  text.value = code;
  const dialog = element("dialog", { class: "code", "aria-label": title, onclose: () => dialog.remove() });
  dialog.append(text, button("Close", () => dialog.close()));
  document.body.append(dialog);
  dialog.showModal();
  text.select();
}
