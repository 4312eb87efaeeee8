import assert from "node:assert/strict";
import test from "node:test";

import { ApiError } from "../../../router/playground/page/scripts/api.js";
import { figuresOf } from "../../../router/playground/page/scripts/figures.js";
import { Run } from "../../../router/playground/page/scripts/run.js";
import { fakeClock } from "./browser.mjs";

const REQUEST = { path: "v1/chat/completions", length: 4, blockLength: 4, body: async () => ({}) };

/** A run of what `reply` yields, with the states that it was in whenever it changed. */
function runOf(reply) {
  const states = [];
  const run = new Run({ reply }, REQUEST, () => states.push(run.state));
  return { run, states };
}

function chunk(content, finishReason = null, fields = {}) {
  return { choices: [{ delta: { content }, finish_reason: finishReason }], ...fields };
}

function canvas(step, tokens) {
  const committed = [...tokens].map((token, position) => ({ token, logprob: 0, bytes: [], position, top_logprobs: [] }));
  return { step, tokens: [...tokens], committed };
}

const USAGE = { choices: [], usage: { completion_tokens: 3, completion_tokens_details: { forward_passes: 2 } } };

test("a run is whole once its reply is", async () => {
  const { run, states } = runOf(async function* () {
    yield chunk("", null, { canvas: canvas(1, "ab") });
    yield chunk("ab");
    yield { choices: [{ delta: {}, finish_reason: "stop" }] };
    yield USAGE;
  });
  await run.start();
  assert.deepEqual(states, ["waiting", "denoising", "denoising", "denoising", "denoising", "done"]);
  assert.deepEqual([run.recording.text, run.finishReason, run.problem, run.isOver], ["ab", "stop", null, true]);
});

test("completions are read like chats", async () => {
  const { run } = runOf(async function* () {
    yield { choices: [{ text: "ab", finish_reason: null }] };
    yield { choices: [{ text: "", finish_reason: "length" }] };
  });
  await run.start();
  assert.deepEqual([run.recording.text, run.finishReason], ["ab", "length"]);
});

test("what goes wrong is the run's problem", async () => {
  const { run } = runOf(async function* () {
    yield chunk("half");
    throw new ApiError("The worker is gone.");
  });
  await run.start();
  assert.deepEqual([run.state, run.problem.message, run.recording.text], ["failed", "The worker is gone.", "half"]);
});

test("a run that is stopped aborts its request and has no problem", async () => {
  const { run } = runOf(async function* (path, body, signal) {
    yield chunk("half");
    run.stop();
    signal.throwIfAborted();
  });
  await run.start();
  assert.deepEqual([run.state, run.problem], ["stopped", null]);
});

test("figures are those of the answer, from sending the request to its end", async (t) => {
  const clock = fakeClock(t);
  const { run } = runOf(async function* () {
    clock.pass(250);
    yield chunk("");
    clock.pass(250);
    yield chunk("abcd", null, { canvas: canvas(1, "abcd") });
    clock.pass(1000);
    yield chunk("e");
    clock.pass(500);
    yield USAGE;
  });
  run.request = { ...REQUEST, body: async () => clock.pass(60_000) }; // what comes before the request does not count
  await run.start();
  clock.pass(60_000);
  assert.deepEqual(figuresOf(run), {
    "tokens per second": "1.5",
    "forward passes": "2",
    "tokens per pass": "1.5",
    "to first text": "500 ms",
    "total time": "2.0 s",
  });
});

test("while an answer is written all committed tokens count", async (t) => {
  const clock = fakeClock(t);
  const seen = [];
  const { run } = runOf(async function* () {
    seen.push(figuresOf(run));
    clock.pass(500);
    yield chunk("", null, { canvas: canvas(2, "abcd") });
    seen.push(figuresOf(run));
  });
  await run.start();
  const [before, after] = seen.map((figures) => Object.values(figures));
  assert.deepEqual(before, ["–", "0", "–", "–", "0 ms"]);
  assert.deepEqual(after, ["8", "2", "2", "–", "500 ms"]);
});
