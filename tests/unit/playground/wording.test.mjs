import assert from "node:assert/strict";
import test from "node:test";

import { brief, counted, duration, percent, rounded, stateInWords, visible } from "../../../router/playground/page/scripts/wording.js";

test("a token can be seen whatever it spells", () => {
  const shown = { "": "◇", " a": "␣a", " ": "␣", "a b ": "a b␣", "\n\t\r": "↵⇥␍", "\u0007": "�", "<b>": "<b>" };
  for (const [token, expected] of Object.entries(shown)) assert.equal(visible(token), expected);
});

test("a special token has a short stand-in on a tile, and its name elsewhere", () => {
  for (const token of ["<|endoftext|>", "<|mdm_mask|>", "<s>", "</s>"]) {
    assert.equal(brief(token), "◇");
    assert.equal(visible(token), token);
  }
  for (const token of ["<|", "<sub>", " <|eot|>"]) assert.equal(brief(token), visible(token));
});

test("what is nearly sure or nearly impossible is not rounded to it", () => {
  const shown = { 1: "100 %", 0.9996: "> 99.9 %", 0.9994: "99.9 %", 0.5: "50 %", 0.01234: "1.23 %", 0.0005: "< 0.1 %", 0: "0 %" };
  for (const [probability, expected] of Object.entries(shown)) assert.equal(percent(Number(probability)), expected);
});

test("times and speeds have as many digits as can be read at a glance", () => {
  assert.deepEqual([0.0123, 0.9994, 1, 12.34].map(duration), ["12 ms", "999 ms", "1.0 s", "12.3 s"]);
  assert.deepEqual([0.123, 1.5, 99.4, 100.4].map(rounded), ["0.12", "1.5", "99", "100"]);
});

test("one is counted in the singular", () => {
  assert.deepEqual([0, 1, 2].map((count) => counted(count, "pass", "passes")), ["0 passes", "1 pass", "2 passes"]);
});

test("each state of a run has its words", () => {
  const run = (state, finishReason = null, text = "a") => stateInWords({ state, finishReason, recording: { text } });
  assert.equal(run("waiting"), "Waiting for its turn …");
  assert.equal(run("denoising"), "Denoising …");
  assert.equal(run("stopped"), "Stopped.");
  assert.equal(run("failed"), "");
  assert.equal(run("done", "length"), "Finished: the canvas is full.");
  assert.equal(run("done", "stop"), "Finished early: the model wrote an end token.");
  assert.equal(run("done", "stop", ""), "Finished: the model wrote nothing but end tokens.");
});
