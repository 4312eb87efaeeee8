import { element } from "./elements.js";
import { percent, visible } from "./wording.js";

const INVITATION = "Point at a tile, or go to it with Tab and the arrows, to see how sure the model was.";

/** Tells about the tile that is pointed at. */
export class Inspector {
  #recording;
  #position = null;

  constructor(recording) {
    this.#recording = recording;
    this.element = element("div", { class: "inspector" }, element("p", { class: "faint" }, INVITATION));
  }

  point(position, frame) {
    this.#position = position;
    this.draw(frame);
  }

  draw(frame) {
    if (this.#position === null) return;
    const tile = this.#recording.tileAt(this.#position, frame);
    const where = `Position ${this.#position + 1}`;
    this.element.replaceChildren(
      ...(tile ? details(where, tile) : [element("p", {}, `${where} is masked: no pass has committed it yet.`)]),
    );
  }
}

function details(where, tile) {
  const others = tile.alternatives.filter(({ token }) => token !== tile.token);
  return [
    element("p", {}, `${where}, committed in pass ${tile.step}`),
    element("ol", { class: "likely" }, likely(tile, "chosen"), ...others.map((other) => likely(other))),
  ];
}

function likely({ token, probability }, role) {
  const bar = element("span", { class: "bar" });
  bar.style.setProperty("--share", probability);
  return element(
    "li",
    { class: role },
    element("span", { class: "token" }, visible(token)),
    bar,
    element("span", { class: "share" }, percent(probability)),
  );
}
