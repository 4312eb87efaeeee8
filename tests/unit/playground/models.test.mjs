import assert from "node:assert/strict";
import test from "node:test";

import { ApiError } from "../../../router/playground/page/scripts/api.js";
import { Models } from "../../../router/playground/page/scripts/models.js";
import { fakeClock } from "./browser.mjs";

const AGAIN = 2000; // milliseconds
const ONE = { id: "one" };

/** Models of a server that waits until the test answers, with what it was asked and how often there was news. */
function modelsOf(t) {
  const clock = fakeClock(t);
  const asked = [];
  const news = [];
  const api = { models: () => new Promise((answer, fail) => asked.push({ answer, fail })) };
  return { clock, asked, news, models: new Models(api, ({ served }) => news.push(served)) };
}

test("models are those that the server has", async (t) => {
  const { clock, asked, news, models } = modelsOf(t);
  const loading = models.load();
  asked[0].answer([ONE]);
  await loading;
  assert.deepEqual(news, [[ONE]]);
  assert.deepEqual([models.trouble, models.needsKey, clock.isWaiting], ["", false, false]);
});

test("a server that has no model yet is asked again", async (t) => {
  const { clock, asked, news, models } = modelsOf(t);
  const loading = models.load();
  asked[0].answer([]);
  await loading;
  assert.match(models.trouble, /^No worker has said yet which model it serves\./);
  clock.pass(AGAIN - 1);
  assert.equal(asked.length, 1);
  clock.pass(1);
  assert.equal(asked.length, 2);
  asked[1].answer([ONE]);
  await new Promise(setImmediate);
  assert.deepEqual([news.at(-1), models.trouble], [[ONE], ""]);
});

test("a server that cannot be reached is asked again, and what it had stays", async (t) => {
  const { clock, asked, models } = modelsOf(t);
  const first = models.load();
  asked[0].answer([ONE]);
  await first;
  const second = models.load();
  asked[1].fail(new ApiError("The server cannot be reached."));
  await second;
  assert.deepEqual([models.served, models.trouble], [[ONE], "The server cannot be reached."]);
  clock.pass(AGAIN);
  assert.equal(asked.length, 3);
});

test("a server that wants a key is asked again only with one", async (t) => {
  const { clock, asked, models } = modelsOf(t);
  const loading = models.load();
  asked[0].fail(new ApiError("This server asks for an API key.", 401));
  await loading;
  assert.deepEqual([models.needsKey, models.trouble], [true, "This server asks for an API key."]);
  assert.ok(!clock.isWaiting);
});

test("only the answer to the newest question counts", async (t) => {
  const { asked, news, models } = modelsOf(t);
  const loads = [models.load(), models.load()];
  asked[1].answer([ONE]);
  asked[0].fail(new ApiError("wrong", 401));
  await Promise.all(loads);
  assert.deepEqual([news, models.trouble], [[[ONE]], ""]);
});

test("to ask at once is not to ask again later as well", async (t) => {
  const { clock, asked, models } = modelsOf(t);
  const loading = models.load();
  asked[0].answer([]);
  await loading;
  models.load();
  clock.pass(AGAIN);
  assert.equal(asked.length, 2);
});
