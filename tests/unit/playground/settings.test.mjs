import assert from "node:assert/strict";
import test from "node:test";

import {
  optionsOf,
  ownOptionsOf,
  serverSettings,
  settingsToServe,
  settingsToWatch,
  summaryOf,
  withLength,
} from "../../../router/playground/page/scripts/settings.js";
import { modelWith } from "./model.mjs";

const USUAL = {
  max_tokens: 128,
  threshold: 0.9,
  block_length: 32,
  kv_cache: "dual",
  remasking: "low_confidence",
  temperature: 0,
  cfg_scale: 0,
};

test("settings begin with a short canvas and two tokens a pass, or with a threshold", () => {
  const { threshold, ...shared } = { ...USUAL, max_tokens: 64 };
  assert.deepEqual(optionsOf(settingsToWatch(modelWith())), { ...shared, steps: 32 });
  assert.deepEqual(optionsOf(settingsToServe(modelWith())), { ...shared, threshold });
});

const DEFAULTS = [
  ["none but the usual", {}, {}],
  ["fractions", { cfg_scale: 0.25, temperature: 0.33, threshold: 0.925 }, {}],
  ["a factor", { cfg_scale: 12, threshold: null, factor: 40 }, { threshold: undefined }],
  ["more steps than tokens", { threshold: null, steps: 4096 }, { threshold: undefined, steps: 128 }],
  ["a longer canvas than the model holds", { max_tokens: 4096, block_length: 2048 }, { max_tokens: 1024, block_length: 1024 }],
  ["a threshold beside steps", { threshold: 0.9, steps: 16 }, { steps: undefined }],
  ["none at all", { block_length: null, threshold: null, kv_cache: null, temperature: null }, { ...USUAL, threshold: undefined, steps: 128 }],
];

for (const [what, defaults, sent] of DEFAULTS) {
  test(`the server's defaults can be sent: ${what}`, () => {
    const expected = Object.entries({ ...USUAL, ...defaults, ...sent }).filter(([, value]) => value !== undefined && value !== null);
    assert.deepEqual(optionsOf(serverSettings(modelWith(defaults))), Object.fromEntries(expected));
  });
}

test("no canvas is longer than the model holds", () => {
  const { max_tokens: length, steps, block_length: block } = settingsToWatch(modelWith({}, 24));
  assert.deepEqual([length, steps, block], [24, 12, 24]);
});

test("a request says all that is set, and of three rules the one that is chosen", () => {
  const settings = { ...settingsToWatch(modelWith()), rule: "factor", factor: 0.5, kv_cache: "none", seed: 7, temperature: 0.3, cfg_scale: 1, remasking: "entropy" };
  assert.deepEqual(optionsOf(settings), {
    max_tokens: 64,
    factor: 0.5,
    block_length: 32,
    kv_cache: "none",
    remasking: "entropy",
    temperature: 0.3,
    cfg_scale: 1,
    seed: 7,
  });
});

test("only what the model knows is asked of it", () => {
  const defaults = { canvas: "grow", threshold: null, steps_per_block: 8 };
  const told = optionsOf(serverSettings(modelWith(defaults, 1024, ["canvas", "steps_per_block"])));
  assert.deepEqual([told.canvas, told.steps_per_block, told.steps], ["grow", 8, undefined]);
  assert.ok(!("canvas" in optionsOf(serverSettings(modelWith()))));
});

test("a canvas that grows is watched as the server would fill it, since it begins short", () => {
  const options = ["canvas", "steps_per_block", "end_of_thinking_boost", "end_of_thinking_power", "thinking_budget"];
  const defaults = { canvas: "grow", threshold: null, steps_per_block: 32, max_tokens: 512, end_of_thinking_boost: 100, end_of_thinking_power: 3 };
  const model = modelWith(defaults, 1024, options);
  assert.deepEqual(settingsToWatch(model), serverSettings(model));
  const { max_tokens: length, end_of_thinking_boost: boost, thinking_budget: budget } = optionsOf(settingsToWatch(model));
  assert.deepEqual([length, boost, budget], [512, 100, undefined]);
  assert.equal(settingsToWatch({ ...model, max_model_len: 600 }).max_tokens, 300);
});

test("a model with no default for a canvas has one of a fixed length", () => {
  const model = modelWith({}, 1024, ["canvas"]);
  assert.equal(serverSettings(model).canvas, "fixed");
  assert.equal(summaryOf({ ...settingsToWatch(model), canvas: "grow" }), "steps 32 · blocks of 32 · growing canvas · dual cache");
});

test("what the server would take by itself is none of one's own", () => {
  const model = modelWith({ temperature: 0.5 });
  assert.deepEqual(ownOptionsOf(serverSettings(model), model.defaults), {});
  const changed = { ...serverSettings(model), temperature: 0, seed: 7, rule: "steps", steps: 16 };
  assert.deepEqual(ownOptionsOf(changed, model.defaults), { steps: 16, temperature: 0, seed: 7 });
});

test("a canvas of another length has as many tokens a pass, and no longer blocks", () => {
  const settings = { ...settingsToWatch(modelWith()) };
  const { max_tokens: length, steps, block_length: block } = withLength(settings, 9);
  assert.deepEqual([length, steps, block], [9, 5, 9]);
  assert.equal(withLength(settings, 128).block_length, 32);
});

test("a summary names what tells settings apart", () => {
  const settings = settingsToWatch(modelWith());
  assert.equal(summaryOf(settings), "steps 32 · blocks of 32 · dual cache");
  const changed = { ...settings, rule: "threshold", kv_cache: "none", temperature: 0.5, cfg_scale: 2, remasking: "random", seed: 0 };
  assert.equal(summaryOf(changed), "threshold 0.9 · blocks of 32 · no cache · temperature 0.5 · guidance 2 · random remasking · seed 0");
});
