import assert from "node:assert/strict";
import test from "node:test";

import { asCurl, asPython } from "../../../router/playground/page/scripts/snippets.js";

const CHAT = "http://server.example/demo/v1/chat/completions";
const COMPLETIONS = "http://server.example/demo/v1/completions";
const HELLO = [{ role: "user", content: "It's \"quoted\": a\\b, $HOME `pwd` ünd 🌍" }];

test("curl gets the body in one word of a shell", () => {
  const code = asCurl(CHAT, { model: "tdi-demo", seed: 7, messages: HELLO }, false);
  assert.deepEqual(code.split(" \\\n  "), [
    `curl '${CHAT}'`,
    "-H 'Content-Type: application/json'",
    String.raw`-d '{"model":"tdi-demo","seed":7,"messages":[{"role":"user","content":"It'\''s \"quoted\": a\\b, $HOME ${"`pwd`"} ünd 🌍"}]}'`,
  ]);
});

test("Python gets the fields of OpenAI's client first, and all others as its extra body", () => {
  const code = asPython(CHAT, { model: "tdi-demo", max_tokens: 64, threshold: 0.7, kv_cache: "prefix", seed: 7, messages: HELLO }, false);
  assert.equal(
    code,
    String.raw`from openai import OpenAI

client = OpenAI(base_url="http://server.example/demo/v1", api_key="none")
reply = client.chat.completions.create(
    model="tdi-demo",
    max_tokens=64,
    seed=7,
    messages=[{"role": "user", "content": "It's \"quoted\": a\\b, $HOME ${"`pwd`"} ünd 🌍"}],
    extra_body={"threshold": 0.7, "kv_cache": "prefix"},
)
print(reply.choices[0].message.content)`,
  );
});

test("infilling is a completion, be its prompt a text or tokens", () => {
  const code = asPython(COMPLETIONS, { model: "tdi-demo", prompt: [1, 2], suffix: "!" }, false);
  assert.match(code, /client\.completions\.create\(\n {4}model="tdi-demo",\n {4}prompt=\[1, 2\],\n {4}suffix="!",\n\)/);
  assert.match(code, /print\(reply\.choices\[0\]\.text\)$/);
  assert.doesNotMatch(code, /extra_body/);
});

test("code names the variable that holds a key", () => {
  assert.match(asCurl(CHAT, {}, true), /-H "Authorization: Bearer \$TDI_API_KEY"/);
  assert.match(asPython(CHAT, { messages: [] }, true), /^import os\n\n[^]*api_key=os\.environ\["TDI_API_KEY"\]/);
});
