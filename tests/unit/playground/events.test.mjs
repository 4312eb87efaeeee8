import assert from "node:assert/strict";
import test from "node:test";

import { events } from "../../../router/playground/page/scripts/events.js";
import { bodyOf } from "./browser.mjs";

async function eventsOf(...pieces) {
  const read = [];
  for await (const data of events(bodyOf(...pieces))) read.push(data);
  return read;
}

test("an event is what stands before an empty line", async () => {
  assert.deepEqual(await eventsOf('data: {"a": 1}\n\ndata: [DONE]\n\n'), ['{"a": 1}', "[DONE]"]);
});

test("a comment needs no empty line behind it", async () => {
  assert.deepEqual(await eventsOf(": ping\ndata: 1\n\n: ping\n", ": ping\ndata: 2\n: ping\n\n"), ["1", "2"]);
});

test("a comment with an empty line behind it is no event", async () => {
  assert.deepEqual(await eventsOf(": ping\n\n: ping\n\ndata: 1\n\n"), ["1"]);
});

test("lines end as any server may end them", async () => {
  assert.deepEqual(await eventsOf("data: 1\r\n\r\n: ping\rdata: 2\r\rdata: 3\n\n"), ["1", "2", "3"]);
});

test("an event is whole wherever it was cut", async () => {
  const bytes = new TextEncoder().encode("data: 1\r\n\r\n: ping\r\ndata: ü\r\ndata: 🌍\r\n\r\ndata: 3\r\r");
  const singly = [...bytes].map((byte) => Uint8Array.of(byte));
  assert.deepEqual(await eventsOf(...singly), ["1", "ü\n🌍", "3"]);
});

test("several lines of data are one event", async () => {
  assert.deepEqual(await eventsOf("event: x\ndata: {\ndata:  1}\nid: 7\n\n"), ["{\n 1}"]);
});

test("an event that the body breaks off in does not count", async () => {
  assert.deepEqual(await eventsOf("data: 1\n\ndata: 2\n"), ["1"]);
  assert.deepEqual(await eventsOf("data: 1\n\ndata: 2"), ["1"]);
});

test("stopping to read cancels the body", async () => {
  let isCancelled = false;
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
    cancel: () => (isCancelled = true),
  });
  for await (const _ of events(body)) break;
  assert.ok(isCancelled);
});
