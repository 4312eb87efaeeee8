import assert from "node:assert/strict";
import test from "node:test";

import { requestOf } from "../../../router/playground/page/scripts/requests.js";
import { settingsToWatch } from "../../../router/playground/page/scripts/settings.js";
import { modelWith } from "./model.mjs";

const MODEL = modelWith();
const SETTINGS = settingsToWatch(MODEL);
const OWN = { model: "tdi-demo", max_tokens: 64, steps: 32 };
const BEFORE = [
  { role: "user", content: "My name is Ada." },
  { role: "assistant", content: "Hello, Ada." },
];
const HELLO = { role: "user", content: "Hello" };
const SYSTEM = { role: "system", content: "Be brief." };

/** Spells what it is asked as words, and keeps what that was. */
function tokenizer() {
  const asked = [];
  const tokens = async (fields) => {
    asked.push(fields);
    return fields.messages ? [1, 2] : [3];
  };
  return { asked, tokens };
}

function chat(system = "", before = []) {
  return requestOf({ isChat: true, message: "Hello" }, MODEL, SETTINGS, system, before);
}

function fill(asked, system = "") {
  return requestOf({ isChat: false, message: "", before: "", after: "", gap: 9, ...asked }, MODEL, SETTINGS, system, BEFORE);
}

test("a chat has the system message first, then what was said before", async () => {
  assert.deepEqual(await chat().plainBody(), { ...OWN, messages: [HELLO] });
  assert.deepEqual((await chat("Be brief.", BEFORE).plainBody()).messages, [SYSTEM, ...BEFORE, HELLO]);
  assert.equal(chat().path, "v1/chat/completions");
});

test("the page sends every setting, and asks for what it shows", async () => {
  const own = { ...OWN, block_length: 32, kv_cache: "dual", remasking: "low_confidence", temperature: 0, cfg_scale: 0 };
  const shown = { stream: true, stream_options: { include_usage: true }, diffusing: true, logprobs: true, top_logprobs: 5 };
  assert.deepEqual(await chat().body(), { ...own, messages: [HELLO], ...shown });
});

test("an answer is summed up by its model and its settings", () => {
  assert.equal(chat().summary, "tdi-demo · steps 32 · blocks of 32 · dual cache");
  assert.deepEqual([chat().length, chat().blockLength], [64, 32]);
});

test("texts that stand for themselves are sent as they are", async () => {
  const request = fill({ before: "Spell river: r-i-", gap: 4 });
  const own = { model: "tdi-demo", max_tokens: 4, steps: 2, block_length: 4 };
  assert.deepEqual(await request.plainBody(), { ...own, prompt: "Spell river: r-i-" });
  assert.equal(request.path, "v1/completions");
  assert.equal((await request.body()).logprobs, 5);
});

test("texts within an answer begin behind the message's own tokens", async () => {
  const server = tokenizer();
  const body = await fill({ message: "Hello", before: "1, 2", after: ", 6, 7" }, "Be brief.").plainBody(server);
  assert.deepEqual([body.prompt, body.suffix], [[1, 2, 3], ", 6, 7"]);
  assert.deepEqual(server.asked, [
    { model: "tdi-demo", messages: [SYSTEM, HELLO] },
    { model: "tdi-demo", prompt: "1, 2", add_special_tokens: false },
  ]);
});

test("an answer without a beginning begins right behind the message", async () => {
  const server = tokenizer();
  const body = await fill({ message: "Hello", after: "!" }).plainBody(server);
  assert.deepEqual(body.prompt, [1, 2]);
  assert.deepEqual(server.asked, [{ model: "tdi-demo", messages: [HELLO] }]);
});

test("what stands behind a gap needs a canvas of a fixed length", async () => {
  const model = modelWith({ canvas: "grow" }, 1024, ["canvas"]);
  const canvasOf = async (after) => {
    const asked = { isChat: false, message: "", before: "a", after, gap: 9 };
    return (await requestOf(asked, model, settingsToWatch(model), "", []).body()).canvas;
  };
  assert.deepEqual([await canvasOf("b"), await canvasOf("")], ["fixed", "grow"]);
});

test("a gap is filled with as many tokens a pass as a whole canvas", async () => {
  const { max_tokens: length, steps, block_length: block } = await fill({ before: "a" }).body();
  assert.deepEqual([length, steps, block], [9, 5, 9]);
});

test("a canvas that grows begins with one block, but where something stands behind it", () => {
  const settings = { ...SETTINGS, canvas: "grow" };
  const model = modelWith({}, 1024, ["canvas"]);
  const begun = (asked) => requestOf(asked, model, settings, "", []).length;
  assert.equal(begun({ isChat: true, message: "Hello" }), 32);
  assert.equal(begun({ isChat: false, message: "", before: "a", after: "b", gap: 9 }), 9);
  assert.equal(begun({ isChat: false, message: "", before: "a", after: "", gap: 40 }), 32);
});

test("what is filled in does not think, unlike the answer of a chat", async () => {
  const model = modelWith({ end_of_thinking_boost: 100 }, 1024, ["end_of_thinking_boost"]);
  const bodyOf = (asked) => requestOf(asked, model, settingsToWatch(model), "", []).body();
  assert.equal((await bodyOf({ isChat: true, message: "Hello" })).end_of_thinking_boost, 100);
  assert.equal((await bodyOf({ isChat: false, message: "", before: "a", after: "", gap: 4 })).end_of_thinking_boost, undefined);
});
