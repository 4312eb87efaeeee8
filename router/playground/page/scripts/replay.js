const WHOLE = 4000; // milliseconds that all passes together may take to watch
const SLOWEST = 160; // for one of them

/** Which frame of a recording is shown: it goes on by itself, at a pace at which people can follow, or as it is told. */
export class Replay {
  #recording;
  #show;
  #timer = 0;
  #isStill = matchMedia("(prefers-reduced-motion: reduce)");

  frame = 0;
  isPlaying = true; // and waits at the last frame for more
  isWhole = false; // there will be no more frames

  /** `show` is called with each frame that is to be seen. */
  constructor(recording, show) {
    this.#recording = recording;
    this.#show = show;
  }

  get isAtEnd() {
    return this.frame === this.#recording.lastFrame;
  }

  get isFinished() {
    return this.isWhole && this.isAtEnd;
  }

  /** There is more to show than there was. */
  extend() {
    if (this.isPlaying && this.#isStill.matches) this.#goTo(this.#recording.lastFrame);
    else this.#show(this.frame);
    this.#goOn();
  }

  play() {
    this.isPlaying = true;
    this.#goTo(this.isFinished ? 0 : this.frame);
    this.#goOn();
  }

  pause() {
    this.isPlaying = false;
    this.#show(this.frame);
  }

  /** Stays there; at the last frame it goes on as soon as there is more. */
  seek(frame) {
    this.isPlaying = frame >= this.#recording.lastFrame;
    this.#goTo(frame);
  }

  #goTo(frame) {
    this.frame = Math.min(Math.max(frame, 0), this.#recording.lastFrame);
    this.#show(this.frame);
  }

  /** Where frames are too many for the eye, and for the time that there is, some are left out. */
  #goOn() {
    if (this.#timer || !this.isPlaying || this.isAtEnd) return;
    const pace = Math.min(WHOLE / this.#recording.lastFrame, SLOWEST);
    const began = performance.now();
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      const passed = Math.max(1, Math.round((performance.now() - began) / pace));
      if (this.isPlaying) this.#goTo(this.frame + passed);
      this.#goOn();
    }, pace);
  }
}
