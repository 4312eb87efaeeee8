const KEY_VARIABLE = "TDI_API_KEY";
const OPENAI_FIELDS = ["model", "messages", "prompt", "suffix", "max_tokens", "temperature", "seed"];

/** The same request as a line for a shell. The key is never in it, but the name of the variable that holds it. */
export function asCurl(url, body, hasKey) {
  const lines = [`curl ${quoted(url)}`, "-H 'Content-Type: application/json'"];
  if (hasKey) lines.push(`-H "Authorization: Bearer $${KEY_VARIABLE}"`);
  lines.push(`-d ${quoted(JSON.stringify(body))}`);
  return lines.join(" \\\n  ");
}

/** The same request as a program for OpenAI's client, whose own fields stand before those of diffusion. */
export function asPython(url, body, hasKey) {
  const base = url.slice(0, url.lastIndexOf("/v1/") + "/v1".length);
  const isChat = "messages" in body;
  const entries = Object.entries(body);
  const own = entries.filter(([name]) => OPENAI_FIELDS.includes(name));
  const extra = entries.filter(([name]) => !OPENAI_FIELDS.includes(name));
  return [
    ...(hasKey ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${literal(base)}, api_key=${hasKey ? `os.environ["${KEY_VARIABLE}"]` : '"none"'})`,
    `reply = client.${isChat ? "chat.completions" : "completions"}.create(`,
    ...own.map(([name, value]) => `    ${name}=${literal(value)},`),
    ...(extra.length ? [`    extra_body=${literal(Object.fromEntries(extra))},`] : []),
    ")",
    `print(reply.choices[0].${isChat ? "message.content" : "text"})`,
  ].join("\n");
}

function quoted(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Texts and numbers look the same in JSON and in Python. */
function literal(value) {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value).map(([name, inner]) => `${literal(name)}: ${literal(inner)}`);
  return `{${entries.join(", ")}}`;
}
