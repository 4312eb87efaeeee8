/**
 * What became of one canvas, pass by pass. A token that was committed stays, so the canvas after any pass is known from
 * the pass that committed each position. Frame 0 is the canvas before the first pass.
 */
export class Recording {
  #tiles = [];
  #texts = [""]; // what could be read of the answer, by frame
  #steps = [0];
  #lengths; // of the canvas, by frame

  committed = 0; // tokens

  /** `length` is how many positions the canvas begins with, as long as the server has not said it. */
  constructor(length, blockLength) {
    this.#lengths = [length];
    this.blockLength = blockLength;
  }

  get lastFrame() {
    return this.#steps.length - 1;
  }

  get text() {
    return this.#texts.at(-1);
  }

  /** Takes in an event: the text that it adds and, where it tells of a pass, its canvas. */
  add(text, canvas) {
    if (canvas && canvas.step > this.#steps.at(-1)) {
      this.#lengths[0] = Math.min(this.#lengths[0], canvas.tokens.length);
      this.#lengths.push(canvas.tokens.length);
      this.#steps.push(canvas.step);
      this.#texts.push(this.text);
    }
    for (const token of canvas?.committed ?? []) this.#commit(token);
    this.#texts[this.lastFrame] += text;
  }

  /** The pass that a frame shows, from 1. */
  stepOf(frame) {
    return this.#steps[frame];
  }

  /** How many positions there are once `frame` is shown: a canvas may grow. */
  lengthAt(frame) {
    return this.#lengths[frame];
  }

  textAt(frame) {
    return this.#texts[frame];
  }

  /** What stands at a position once `frame` is shown; nothing if it is still masked. */
  tileAt(position, frame) {
    const tile = this.#tiles[position];
    return tile && tile.frame <= frame ? tile : undefined;
  }

  #commit({ position, top_logprobs: alternatives, ...chosen }) {
    this.committed += 1;
    this.#tiles[position] = {
      ...likely(chosen),
      frame: this.lastFrame,
      step: this.stepOf(this.lastFrame),
      others: alternatives.filter((one) => !isSame(one, chosen)).map(likely),
    };
  }
}

function likely({ token, logprob }) {
  return { token, probability: Math.exp(logprob) };
}

/** Tokens that are parts of a character are all spelled alike; their bytes tell them apart. */
function isSame(one, other) {
  return one.token === other.token && String(one.bytes) === String(other.bytes);
}
