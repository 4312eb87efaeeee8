import { button, element, newId } from "./elements.js";

const MODES = { chat: "Chat", fill: "Fill in" };
const GAP = { type: "number", min: 1, max: 1024, value: 16, required: true };

/** Where people say what they want: a message, or the texts around a gap. */
export class Composer {
  #message = textarea("Message", "Ask something …");
  #asked = textarea("Message", "nothing: plain text");
  #before = textarea("Text before", "");
  #after = textarea("Text after", "");
  #gap = labelled("Tokens in between", element("input", GAP));
  #modes = new Map();

  /** `onsend` is called with what was asked, and says whether it could be sent; the others are called with nothing. */
  constructor({ onsend, onstop, onclear }) {
    this.send = element("button", { type: "submit", class: "primary" }, "Send");
    this.stop = button("Stop", onstop, { class: "primary", hidden: true });
    this.clear = button("New conversation", onclear);
    this.chat = element("div", { class: "fields" }, this.#message.element);
    const around = [this.#asked, this.#before, this.#after, this.#gap].map((field) => field.element);
    this.fill = element("div", { class: "fields fill" }, ...around);
    this.element = element(
      "form",
      { class: "composer", onkeydown: (event) => this.#key(event) },
      this.#modeChoice(),
      this.chat,
      this.fill,
      element("div", { class: "actions" }, this.send, this.stop, this.clear),
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      const asked = this.#read();
      if (asked && !this.send.hidden && onsend(asked) && asked.isChat) this.#message.input.value = "";
    });
    this.mode = "chat";
  }

  get mode() {
    return this.#modes.get("chat").checked ? "chat" : "fill";
  }

  set mode(mode) {
    this.#modes.get(mode).checked = true;
    this.chat.hidden = mode !== "chat";
    this.fill.hidden = mode === "chat";
    this.#gap.input.disabled = mode === "chat";
  }

  /** Sends what an example says, as if it had been written. */
  example({ message = "", before, after, gap }) {
    this.mode = gap ? "fill" : "chat";
    const written = gap ? { asked: message, before, after, gap } : { message };
    const fields = { message: this.#message, asked: this.#asked, before: this.#before, after: this.#after, gap: this.#gap };
    for (const [name, value] of Object.entries(written)) fields[name].input.value = value;
    this.element.requestSubmit();
  }

  /** Send while nothing runs, Stop while something does; whichever comes has the focus that the other one had. */
  set isRunning(isRunning) {
    const [goes, comes] = isRunning ? [this.send, this.stop] : [this.stop, this.send];
    const hadFocus = document.activeElement === goes;
    goes.hidden = true;
    comes.hidden = false;
    if (hadFocus) comes.focus();
  }

  /** What was asked, or nothing if there is nothing to ask. */
  #read() {
    if (this.mode === "chat") {
      const message = this.#message.input.value.trim();
      return message && { isChat: true, message, shown: [element("p", {}, message)] };
    }
    const [message, before, after] = [this.#asked, this.#before, this.#after].map(({ input }) => input.value);
    if (!message && !before && !after) return null;
    const gap = element("span", { class: "gap" }, `${this.#gap.input.value} tokens`);
    const shown = [element("p", {}, message), element("p", { class: "around" }, before, gap, after)];
    return { isChat: false, message, before, after, gap: Number(this.#gap.input.value), shown };
  }

  #modeChoice() {
    const choices = Object.entries(MODES).map(([mode, label]) => {
      const input = element("input", { type: "radio", name: "mode", value: mode, onchange: () => (this.mode = mode) });
      this.#modes.set(mode, input);
      return element("label", {}, input, label);
    });
    return element("fieldset", { class: "modes" }, element("legend", { class: "unseen" }, "What to do"), ...choices);
  }

  #key(event) {
    const sends = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (!sends || event.target !== this.#message.input) return;
    event.preventDefault();
    this.element.requestSubmit();
  }
}

function textarea(label, placeholder) {
  return labelled(label, element("textarea", { rows: 2, placeholder }));
}

function labelled(label, input) {
  input.id = newId("field");
  return { input, element: element("div", { class: "field" }, element("label", { for: input.id }, label), input) };
}
