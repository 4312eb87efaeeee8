const WHOLE = 4000; // milliseconds that all passes together should take to watch
const QUICKEST = 16;
const SLOWEST = 160;

/** Which frame of a recording is shown: it goes on by itself, at a pace at which people can follow, or as it is told. */
export class Replay {
  #recording;
  #show;
  #timer = 0;
  #isStill = matchMedia("(prefers-reduced-motion: reduce)");

  frame = 0;
  isPlaying = true; // and waits at the last frame for more

  /** `show` is called with each frame that is to be seen. */
  constructor(recording, show) {
    this.#recording = recording;
    this.#show = show;
  }

  get isAtEnd() {
    return this.frame === this.#recording.lastFrame;
  }

  /** There is more to show than there was. */
  extend() {
    if (this.isPlaying && this.#isStill.matches) this.#goTo(this.#recording.lastFrame);
    else this.#show(this.frame);
    this.#goOn();
  }

  play() {
    this.isPlaying = true;
    this.#goTo(this.isAtEnd ? 0 : this.frame);
    this.#goOn();
  }

  pause() {
    this.isPlaying = false;
    this.#show(this.frame);
  }

  seek(frame) {
    this.isPlaying = false;
    this.#goTo(frame);
  }

  #goTo(frame) {
    this.frame = Math.min(Math.max(frame, 0), this.#recording.lastFrame);
    this.#show(this.frame);
  }

  #goOn() {
    if (this.#timer || !this.isPlaying || this.isAtEnd) return;
    const pace = Math.min(Math.max(WHOLE / this.#recording.lastFrame, QUICKEST), SLOWEST);
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      if (this.isPlaying) this.#goTo(this.frame + 1);
      this.#goOn();
    }, pace);
  }
}
