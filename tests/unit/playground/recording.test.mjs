import assert from "node:assert/strict";
import test from "node:test";

import { Recording } from "../../../router/playground/page/scripts/recording.js";

const LOG_HALF = Math.log(0.5);

function canvas(step, tokens, ...committed) {
  const alternative = (position) => ({ token: tokens[position], logprob: LOG_HALF, bytes: [] });
  return { step, tokens, committed: committed.map((position) => ({ ...alternative(position), position, top_logprobs: [alternative(position)] })) };
}

function shown(recording, frame) {
  const tokens = Array.from({ length: recording.lengthAt(frame) }, (_, position) => recording.tileAt(position, frame)?.token ?? "");
  return [recording.stepOf(frame), tokens, recording.textAt(frame)];
}

test("each frame is the canvas and the text after one pass", () => {
  const recording = new Recording(64, 32);
  recording.add("", canvas(1, [null, "b", null, null])); // the role, before the step's own event
  recording.add("", canvas(1, [null, "b", null, null], 1));
  recording.add("", null);
  recording.add("ab", canvas(3, ["a", "b", null, "d"], 0, 3)); // two steps in one event
  recording.add("c", canvas(4, ["a", "b", "c", "d"], 2));
  recording.add("d", canvas(4, ["a", "b", "c", "d"])); // once more
  assert.deepEqual([0, 1, 2, 3].map((frame) => shown(recording, frame)), [
    [0, ["", "", "", ""], ""],
    [1, ["", "b", "", ""], ""],
    [3, ["a", "b", "", "d"], "ab"],
    [4, ["a", "b", "c", "d"], "abcd"],
  ]);
  assert.equal(recording.lastFrame, 3);
  assert.equal(recording.text, "abcd");
  assert.equal(recording.committed, 4);
});

test("text after the last pass belongs to it, and needs no canvas", () => {
  const recording = new Recording(1, 1);
  recording.add("a", canvas(1, ["a"], 0));
  recording.add("b", undefined);
  assert.equal(recording.text, "ab");
  assert.equal(recording.lastFrame, 1);
});

test("the canvas has the length that was asked for until the server has said its own", () => {
  const recording = new Recording(64, 32);
  assert.equal(recording.lengthAt(0), 64);
  recording.add("", canvas(1, ["a", null], 0));
  assert.deepEqual([0, 1].map((frame) => recording.lengthAt(frame)), [2, 2]);
});

test("a canvas that grows has the length of each pass", () => {
  const recording = new Recording(2, 2);
  recording.add("", canvas(1, ["a", null], 0));
  recording.add("ab", canvas(2, ["a", "b", null, null], 1));
  recording.add("cd", canvas(3, ["a", "b", "c", "d"], 2, 3));
  assert.deepEqual([0, 1, 2, 3].map((frame) => recording.lengthAt(frame)), [2, 2, 4, 4]);
});

test("a tile knows its pass, its probability and what else it might have been", () => {
  const recording = new Recording(1, 1);
  const other = { token: "<b>", logprob: -2, bytes: [60] };
  const event = canvas(5, ["a"], 0);
  event.committed[0].top_logprobs.push(other);
  recording.add("a", event);
  const tile = recording.tileAt(0, 1);
  assert.deepEqual([tile.token, tile.frame, tile.step], ["a", 1, 5]);
  assert.ok(Math.abs(tile.probability - 0.5) < 1e-12);
  assert.deepEqual(tile.others, [{ token: "<b>", probability: Math.exp(-2) }]);
});

test("alternatives that are spelled alike are distinguished by their bytes", () => {
  const recording = new Recording(1, 1);
  const [half, otherHalf] = [[0.4, 159], [0.5, 226]].map(([share, byte]) => ({ token: "�", logprob: Math.log(share), bytes: [byte] }));
  recording.add("", { step: 1, tokens: ["�"], committed: [{ ...half, position: 0, top_logprobs: [otherHalf, half] }] });
  const { probability, others } = recording.tileAt(0, 1);
  assert.equal(probability.toFixed(2), "0.40");
  assert.deepEqual(others.map((one) => one.probability.toFixed(2)), ["0.50"]);
});
