import assert from "node:assert/strict";
import test from "node:test";

import { Api, ApiError, isAbort, urlOf } from "../../../router/playground/page/scripts/api.js";
import { bodyOf, fakeServer } from "./browser.mjs";

const KEY = "sk-right";

async function replyOf(key = "") {
  const read = [];
  for await (const event of new Api(() => key).reply("v1/chat/completions", {}, undefined)) read.push(event);
  return read;
}

function stream(...data) {
  return new Response(bodyOf(...data.map((one) => `data: ${one}\n\n`)));
}

test("a reply is its events up to the sign that it is whole", async (t) => {
  const requests = fakeServer(t, () => stream('{"a":1}', '{"b":2}', "[DONE]"));
  assert.deepEqual(await replyOf(), [{ a: 1 }, { b: 2 }]);
  const [{ method, headers, body }] = requests;
  assert.deepEqual({ method, headers, body }, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
});

test("requests go beside the page, without what else its address says", async (t) => {
  const requests = fakeServer(t, () => Response.json({ data: [{ id: "one" }] }));
  assert.deepEqual(await new Api(() => "").models(), [{ id: "one" }]);
  assert.equal(requests[0].url, "http://server.example/demo/v1/models");
  assert.equal(requests[0].method, "GET");
  assert.equal(urlOf("tokenize"), "http://server.example/demo/tokenize");
});

test("an error within a stream fails the reply", async (t) => {
  fakeServer(t, () => stream('{"a":1}', '{"error":{"message":"The worker is gone."}}', "[DONE]"));
  await assert.rejects(replyOf(), { constructor: ApiError, message: "The worker is gone." });
});

test("a reply that ends without its sign is not taken for whole", async (t) => {
  fakeServer(t, () => stream('{"a":1}'));
  await assert.rejects(replyOf(), { message: "The connection broke off before the answer was whole." });
});

test("a connection that breaks in the middle is not taken for a whole reply either", async (t) => {
  const breaking = new ReadableStream({ pull: (controller) => controller.error(new TypeError("network error")) });
  fakeServer(t, () => new Response(breaking));
  await assert.rejects(replyOf(), { message: "The connection broke off before the answer was whole." });
});

test("a server that is gone is reported in a sentence", async (t) => {
  fakeServer(t, () => {
    throw new TypeError("Failed to fetch");
  });
  await assert.rejects(replyOf(), { message: "The server cannot be reached. Is it still running?", isAboutKey: false });
});

test("a refusal keeps the words of the server", async (t) => {
  fakeServer(t, () => Response.json({ error: { message: "It is full." } }, { status: 503 }));
  await assert.rejects(replyOf(), { message: "It is full.", status: 503 });
});

test("an answer that is no error object is reported by its status", async (t) => {
  for (const body of ["<h1>Bad gateway</h1>", "null", '{"error":null}']) {
    fakeServer(t, () => new Response(body, { status: 502 }));
    await assert.rejects(replyOf(), { message: "The server answered with HTTP status 502." });
  }
});

test("a request that was aborted stays an abort", async (t) => {
  fakeServer(t, (_, { signal }) => signal.throwIfAborted());
  const signal = AbortSignal.abort();
  await assert.rejects(new Api(() => "").tokens({ prompt: "a" }, signal), (failure) => isAbort(failure));
});

test("a key goes along where there is one", async (t) => {
  const requests = fakeServer(t, () => stream("[DONE]"));
  await replyOf(KEY);
  await replyOf();
  assert.deepEqual(requests.map(({ headers }) => headers.Authorization), [`Bearer ${KEY}`, undefined]);
});

test("a missing key and a wrong key are reported apart", async (t) => {
  fakeServer(t, () => Response.json({ error: { message: "No." } }, { status: 401 }));
  const isAboutKey = true;
  await assert.rejects(replyOf(), { message: "This server asks for an API key: enter it in the settings.", isAboutKey });
  await assert.rejects(replyOf(KEY), { message: "The server does not accept this API key.", isAboutKey });
});

test("what cannot be a key is not sent", async (t) => {
  const requests = fakeServer(t, () => stream("[DONE]"));
  for (const key of ["“sk-right”", "sk right", "sk\nright"]) {
    await assert.rejects(replyOf(key), { message: "The API key has characters that no key has.", isAboutKey: true });
  }
  assert.equal(requests.length, 0);
});
