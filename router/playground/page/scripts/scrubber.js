import { button, element, setText } from "./elements.js";

/** The controls of a replay: to play it, and to go to any pass. */
export class Scrubber {
  #replay;
  #recording;
  #back;
  #forth;
  #toggle;
  #slider;
  #label;

  constructor(replay, recording) {
    this.#replay = replay;
    this.#recording = recording;
    this.#back = button("◀", () => replay.seek(replay.frame - 1), { "aria-label": "One pass back" });
    this.#forth = button("▶", () => replay.seek(replay.frame + 1), { "aria-label": "One pass forward" });
    this.#toggle = button("Pause", () => (this.#runs ? replay.pause() : replay.play()), { class: "play" });
    this.#slider = element("input", {
      type: "range",
      min: 0,
      max: 0,
      value: 0,
      "aria-label": "Pass shown",
      oninput: () => replay.seek(Number(this.#slider.value)),
    });
    this.#label = element("span", { class: "pass" });
    this.element = element("div", { class: "scrubber" }, this.#toggle, this.#back, this.#slider, this.#forth, this.#label);
  }

  get #runs() {
    return this.#replay.isPlaying && !this.#replay.isFinished;
  }

  draw(frame) {
    const { lastFrame } = this.#recording;
    const passes = this.#recording.stepOf(lastFrame);
    const step = this.#recording.stepOf(frame);
    this.#slider.max = lastFrame;
    this.#slider.value = frame;
    this.#slider.setAttribute("aria-valuetext", `pass ${step} of ${passes}`);
    this.#label.textContent = `pass ${step} of ${passes}`;
    setText(this.#toggle, this.#runs ? "Pause" : this.#replay.isFinished ? "Replay" : "Play");
    // Not disabled: who goes on to the end with the keyboard would lose the focus there.
    this.#back.ariaDisabled = frame === 0;
    this.#forth.ariaDisabled = frame === lastFrame;
  }
}
