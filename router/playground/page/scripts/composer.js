import { button, element, newId } from "./elements.js";

const COMPOSING = 229; // the key code of an Enter that ends a composition, where isComposing is false by then
const UNMOVED = { preventScroll: true }; // people look at the answer, wherever the focus goes
const MODES = { chat: "Chat", fill: "Fill in" };
const GAP = { type: "number", min: 1, value: 16, required: true };

/** Where people say what they want: a message, or the texts around a gap. */
export class Composer {
  #message = textarea("Message", "Ask something …");
  #asked = textarea("Message", "leave it empty for plain text");
  #before = textarea("Text before", "");
  #after = textarea("Text after", "");
  #gap = labelled("Tokens in between", element("input", GAP));
  #modes = new Map();
  #onsend;
  #chat = element("div", { class: "fields" }, this.#message.element);
  #fill;
  #send = element("button", { type: "submit", class: "primary" }, "Send");
  #stop;

  /** `onsend` is called with what was asked, and says whether it could be sent; the others are called with nothing. */
  constructor({ onsend, onstop, onclear }) {
    // The second click of a double click on Send would stop what the first one began.
    this.#stop = button("Stop", ({ detail }) => detail > 1 || onstop(), { class: "primary", hidden: true });
    const around = [this.#asked, this.#before, this.#after, this.#gap].map((field) => field.element);
    this.#fill = element("div", { class: "fields fill" }, ...around);
    this.element = element(
      "form",
      { class: "composer", onkeydown: (event) => this.#key(event) },
      this.#modeChoice(),
      this.#chat,
      this.#fill,
      element("div", { class: "actions" }, this.#send, this.#stop, button("New conversation", onclear)),
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      const asked = this.mode === "chat" ? chat(this.#message.input.value) : this.#readGap();
      if (asked && !this.#send.hidden && onsend(asked) && asked.isChat) this.#message.input.value = "";
    });
    this.#onsend = onsend;
    this.mode = "chat";
  }

  /** How many tokens the model holds. */
  set longest(tokens) {
    this.#gap.input.max = tokens;
  }

  get mode() {
    return this.#modes.get("chat").checked ? "chat" : "fill";
  }

  set mode(mode) {
    this.#modes.get(mode).checked = true;
    this.#chat.hidden = mode !== "chat";
    this.#fill.hidden = mode === "chat";
    this.#gap.input.disabled = mode === "chat";
  }

  /** Says whether the message has the focus, and nothing is written yet. */
  get isIdle() {
    return document.activeElement === this.#message.input && !this.#message.input.value;
  }

  focus() {
    this.#message.input.focus(UNMOVED);
  }

  /** Sends what an example says; a message that somebody has begun to write stays. */
  example({ message, before, after, gap }) {
    this.mode = gap ? "fill" : "chat";
    this.#send.focus(UNMOVED);
    if (!gap) {
      this.#onsend(chat(message));
      return;
    }
    const written = [[this.#asked, message], [this.#before, before], [this.#after, after], [this.#gap, gap]];
    for (const [field, value] of written) field.input.value = value;
    this.element.requestSubmit();
  }

  /** Gives a message back that could not be answered. */
  restore(message) {
    this.#message.input.value ||= message;
  }

  /** Send while nothing runs, Stop while something does; whichever comes has the focus that the other one had. */
  set isRunning(isRunning) {
    const [goes, comes] = isRunning ? [this.#send, this.#stop] : [this.#stop, this.#send];
    const hadFocus = document.activeElement === goes;
    goes.hidden = true;
    comes.hidden = false;
    if (hadFocus) comes.focus(UNMOVED);
  }

  /** What was asked, or nothing if there is nothing to ask. */
  #readGap() {
    const [message, before, after] = [this.#asked, this.#before, this.#after].map(({ input }) => input.value);
    if (!message && !before && !after) return null;
    const gap = element("span", { class: "gap" }, `${this.#gap.input.value} tokens`);
    const shown = [element("p", { dir: "auto" }, message), element("p", { class: "around" }, before, gap, after)];
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
    if (event.key !== "Enter") return;
    if (event.repeat) event.preventDefault(); // a key that is held sends once, and does not stop what it sent
    const isWriting = event.shiftKey || event.isComposing || event.keyCode === COMPOSING;
    if (isWriting || event.repeat || event.target !== this.#message.input) return;
    event.preventDefault();
    this.element.requestSubmit();
  }
}

/** What a message asks, or nothing if it is empty. */
function chat(written) {
  const message = written.trim();
  return message && { isChat: true, message, shown: [element("p", { dir: "auto" }, message)] };
}

function textarea(label, placeholder) {
  return labelled(label, element("textarea", { rows: 2, placeholder, dir: "auto" }));
}

function labelled(label, input) {
  input.id = newId("field");
  return { input, element: element("div", { class: "field" }, element("label", { for: input.id }, label), input) };
}
