// The official client for Node, against the server at OPENAI_BASE_URL.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });
const model = "tdi-demo";
const count = { model, messages: [{ role: "user", content: "Count to 7" }] };
const spell = { model, messages: [{ role: "user", content: "Spell river" }] };
const minutes = { ...count, max_tokens: 900, steps: 900, kv_cache: "none", ignore_eos: true };

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test("models are listed and looked up", async () => {
  const listed = [];
  for await (const one of client.models.list()) listed.push(one);
  assert.deepEqual(listed, [await client.models.retrieve(model)]);
  assert.equal(listed[0].id, model);
});

test("a reply comes whole", async () => {
  const reply = await client.chat.completions.create(count);
  assert.deepEqual(reply.choices[0].message, { role: "assistant", content: "1, 2, 3, 4, 5, 6, 7", refusal: null });
  assert.equal(reply.choices[0].finish_reason, "stop");
  assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
});

test("a reply is streamed", async () => {
  const stream = await client.chat.completions.create({
    ...count,
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = await all(stream);
  assert.equal(textOf(chunks), "1, 2, 3, 4, 5, 6, 7");
  assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
});

test("the finish reason of a stream comes after its text", async () => {
  const chunks = await all(await client.chat.completions.create({ ...count, stop: ", 5", stream: true }));
  assert.equal(textOf(chunks), "1, 2, 3, 4");
  assert.deepEqual(chunks.at(-1).choices[0].delta, {});
  assert.deepEqual(
    chunks.map((chunk) => chunk.choices[0].finish_reason),
    [...chunks.slice(1).map(() => null), "stop"],
  );
});

test("the stream helper puts the reply together", async () => {
  const stream = client.chat.completions.stream(count);
  assert.equal(await stream.finalContent(), "1, 2, 3, 4, 5, 6, 7");
});

test("the request's own id comes back", async () => {
  const { response, request_id } = await client.chat.completions
    .create(spell, { headers: { "x-request-id": "seven-7" } })
    .withResponse();
  assert.equal(request_id, "seven-7");
  assert.equal(response.headers.get("x-request-id"), "seven-7");
});

test("choices, stop strings and seeds", async () => {
  const reply = await client.chat.completions.create({ ...count, n: 2, stop: ", 4" });
  assert.deepEqual(
    reply.choices.map((choice) => [choice.index, choice.message.content, choice.finish_reason]),
    [
      [0, "1, 2, 3", "stop"],
      [1, "1, 2, 3", "stop"],
    ],
  );
  const guess = { model, messages: [{ role: "user", content: "Reverse one, two, three" }], max_tokens: 24 };
  const guesses = async () => {
    const { choices } = await client.chat.completions.create({ ...guess, temperature: 1, seed: 7, n: 4 });
    return choices.map((choice) => choice.message.content);
  };
  const first = await guesses();
  assert.deepEqual(await guesses(), first);
  assert.ok(new Set(first).size > 1);
});

test("log probabilities", async () => {
  const reply = await client.chat.completions.create({ ...spell, logprobs: true, top_logprobs: 2 });
  const tokens = reply.choices[0].logprobs.content;
  assert.deepEqual(tokens.map((token) => token.token), [..."r-i-v-e-r"]);
  for (const token of tokens) {
    assert.ok(token.logprob > -0.1 && token.logprob <= 0);
    assert.deepEqual(token.top_logprobs.map((one) => one.token)[0], token.token);
    assert.equal(token.top_logprobs.length, 2);
  }
});

test("diffusion options stand beside OpenAI's fields", async () => {
  const reply = await client.chat.completions.create({ ...count, max_tokens: 32, steps: 16 });
  assert.equal(reply.usage.completion_tokens_details.forward_passes, 16);
  const stream = await client.chat.completions.create({
    ...count,
    max_tokens: 32,
    steps: 16,
    stream: true,
    diffusing: true,
  });
  const chunks = await all(stream);
  assert.equal(textOf(chunks), "1, 2, 3, 4, 5, 6, 7");
  assert.equal(chunks[0].canvas.tokens.filter((token) => token === null).length, 30);
});

test("completions fill in what stands before a suffix", async () => {
  const { tokens } = await client.post("/../tokenize", { body: count });
  const reply = await client.completions.create({ model, prompt: tokens, suffix: ", 5, 6, 7", max_tokens: 10 });
  assert.equal(reply.choices[0].text, "1, 2, 3, 4");
});

test("errors have their classes and name the field", async () => {
  const create = (changes) => client.chat.completions.create({ ...spell, ...changes });
  await assert.rejects(create({ n: 0 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.status, error.param, error.code], [400, "n", "invalid_value"]);
    assert.ok(error.requestID);
    return true;
  });
  await assert.rejects(create({ n: 0, stream: true }), OpenAI.BadRequestError);
  await assert.rejects(create({ response_format: { type: "json_object" } }), { code: "unsupported_parameter" });
  await assert.rejects(create({ model: "gpt-9" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
  await assert.rejects(client.embeddings.create({ model, input: "x" }), OpenAI.NotFoundError);
});

async function idle() {
  const give_up = Date.now() + 10_000;
  while ((await client.get("/../health")).requests.running > 0) {
    assert.ok(Date.now() < give_up, "the server still works for nobody");
    await setTimeout(5);
  }
}

test("leaving a stream aborts it", async () => {
  const stream = await client.chat.completions.create({ ...minutes, stream: true, diffusing: true });
  for await (const _ of stream) break;
  assert.ok(stream.controller.signal.aborted);
  await idle();
});

test("an abort signal ends a stream that is being read", async () => {
  const leaving = new AbortController();
  const stream = await client.chat.completions.create(
    { ...minutes, stream: true, diffusing: true },
    { signal: leaving.signal },
  );
  for await (const _ of stream) leaving.abort();
  await idle();
});

test("a timeout leaves a reply that takes too long", async () => {
  await assert.rejects(client.chat.completions.create(minutes, { timeout: 1500 }), OpenAI.APIConnectionTimeoutError);
  await idle();
});
