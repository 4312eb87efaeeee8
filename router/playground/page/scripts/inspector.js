import { element } from "./elements.js";
import { percent, visible } from "./wording.js";

const INVITATION = "Point at a tile, or go to it with Tab and the arrows, to see how sure the model was.";

const YET = "is masked: no pass has filled it in yet.";
const NEVER = "was never filled in: the answer ended before.";

/** Tells about the tile that is pointed at. */
export class Inspector {
  #recording;
  #position = null;

  constructor(recording, id) {
    this.#recording = recording;
    this.id = id;
    this.element = element("div", { class: "inspector", id }, element("p", { class: "faint" }, INVITATION));
  }

  point(position, frame, isOver) {
    this.#position = position;
    this.draw(frame, isOver);
  }

  /** `isOver` says that no pass will come after `frame`. */
  draw(frame, isOver) {
    if (this.#position === null) return;
    const tile = this.#recording.tileAt(this.#position, frame);
    const where = `Position ${this.#position + 1}`;
    this.element.replaceChildren(
      ...(tile ? details(where, tile) : [element("p", {}, `${where} ${isOver ? NEVER : YET}`)]),
    );
  }
}

function details(where, tile) {
  return [
    element("p", {}, `${where}, committed in pass ${tile.step}`),
    element("ol", { class: "likely" }, likely(tile, "chosen"), ...tile.others.map((other) => likely(other))),
  ];
}

function likely({ token, probability }, role) {
  const bar = element("span", { class: "bar" });
  bar.style.setProperty("--share", probability);
  return element(
    "li",
    { class: role },
    element("span", { class: "token", dir: "auto" }, visible(token)),
    bar,
    element("span", { class: "share" }, percent(probability)),
  );
}
