import { element } from "./elements.js";
import { brief, counted, percent, visible } from "./wording.js";

const MOVES = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

/**
 * The positions of a recording as tiles, block by block. One tile at a time can be reached by Tab, and the arrows go on
 * from there. `onpoint` is called with the position that is pointed at or focused, and `details` is the id of the element
 * that tells about it then.
 */
export class Canvas {
  #recording;
  #onpoint;
  #details;
  #tiles = [];
  #current = 0;

  constructor(recording, onpoint, details) {
    this.#recording = recording;
    this.#onpoint = onpoint;
    this.#details = details;
    this.element = element("div", {
      class: "canvas",
      role: "group",
      onkeydown: (event) => this.#move(event),
      onfocusin: ({ target }) => this.#point(target),
      onclick: ({ target }) => this.#point(target), // not every browser gives what is touched the focus
      // Not when a tile appears under a pointer that rests.
      onpointermove: ({ target, movementX, movementY }) => (movementX || movementY) && this.#point(target),
    });
  }

  /** `end` is how many tokens the answer has, once that is known: what lies beyond was not needed. */
  draw(frame, end = Infinity) {
    const length = this.#recording.lengthAt(frame);
    if (this.#tiles.length !== length) this.#layOut(length);
    this.element.style.setProperty("--last-frame", this.#recording.lastFrame);
    for (const [position, tile] of this.#tiles.entries()) this.#drawTile(tile, position, frame, position >= end);
  }

  /** Tiles that are there stay, and with them the focus, when the canvas grows. */
  #layOut(length) {
    const { blockLength } = this.#recording;
    if (this.#current >= length) this.#point(this.#tiles[0]);
    while (this.#tiles.length > length) this.#tiles.pop().remove();
    while (this.#tiles.length < length) this.#append(this.#tiles.length);
    const blocks = Math.ceil(length / blockLength);
    while (this.element.children.length > blocks) this.element.lastElementChild.remove();
    this.element.setAttribute("aria-label", `Canvas of ${counted(length, "token", "tokens")} in ${counted(blocks, "block", "blocks")}`);
  }

  #append(position) {
    if (position % this.#recording.blockLength === 0) this.element.append(element("div", { class: "block" }));
    const tabindex = position === this.#current ? 0 : -1;
    const tile = element("button", { type: "button", class: "tile", "aria-describedby": this.#details, tabindex });
    this.element.lastElementChild.append(tile);
    this.#tiles.push(tile);
  }

  #drawTile(tile, position, frame, isBeyond) {
    const committed = this.#recording.tileAt(position, frame);
    const state = !committed ? "masked" : committed.frame === frame ? "fresh" : "committed";
    const look = isBeyond ? `${state} beyond` : state;
    if (tile.dataset.look === look) return;
    tile.dataset.look = look;
    tile.textContent = committed ? brief(committed.token) : "";
    tile.setAttribute("aria-label", `Position ${position + 1}: ${committed ? described(committed) : "masked"}`);
    if (!committed) return;
    tile.style.setProperty("--probability", committed.probability);
    tile.style.setProperty("--frame", committed.frame);
  }

  #point(target) {
    const position = this.#tiles.indexOf(target);
    if (position < 0) return;
    this.#tiles[this.#current].tabIndex = -1;
    this.#current = position;
    target.tabIndex = 0;
    this.#onpoint(position);
  }

  #move(event) {
    if (!(event.key in MOVES) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const position = Math.min(Math.max(this.#current + MOVES[event.key], 0), this.#tiles.length - 1);
    this.#tiles[position].focus();
  }
}

function described({ token, probability, step }) {
  return `${visible(token)}, ${percent(probability)} sure, pass ${step}`;
}
