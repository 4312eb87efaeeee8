/** What can be set for an answer. A hint says in one line what it does; `usual` is for models that have no default. */
export const FIELDS = [
  {
    name: "max_tokens",
    label: "Canvas length",
    hint: "How many masked tokens there are, or come to be where it grows. The answer may be shorter.",
    kind: "number",
    range: { min: 1, step: 1 },
  },
  {
    name: "canvas",
    label: "Canvas",
    hint: "All masks from the start, or one block after the other until the answer ends.",
    kind: "choice",
    choices: { fixed: "of a fixed length", grow: "grows block by block" },
    usual: "fixed",
  },
  {
    name: "rule",
    label: "Each pass fills in",
    hint: "Every token it is sure of is fastest; the same number is best to watch.",
    kind: "choice",
    choices: {
      threshold: "every token it is sure of",
      factor: "more tokens, the surer it is",
      steps: "the same number",
      steps_per_block: "the same number, set for each block",
    },
  },
  {
    name: "threshold",
    label: "Threshold",
    hint: "It is sure at this probability or above. Lower: fewer passes. Higher: more careful.",
    kind: "number",
    range: { min: 0, max: 1, step: "any" },
    usual: 0.9,
    rule: true,
  },
  {
    name: "factor",
    label: "Factor",
    hint: "How much doubt a pass may accept in total. Higher: fewer passes.",
    kind: "number",
    range: { min: 0, max: 1000, step: "any" },
    usual: 1,
    rule: true,
  },
  {
    name: "steps",
    label: "Steps",
    hint: "Passes for the whole canvas. With as many as it has tokens, each fills in one.",
    kind: "number",
    range: { min: 1, step: 1 },
    rule: true,
  },
  {
    name: "steps_per_block",
    label: "Passes per block",
    hint: "Passes for each block. With as many as it has tokens, each fills in one.",
    kind: "number",
    range: { min: 1, step: 1 },
    usual: 16,
    rule: true,
  },
  {
    name: "block_length",
    label: "Block length",
    hint: "Blocks are filled from left to right, and within one any token may come first.",
    kind: "number",
    range: { min: 1, step: 1 },
    usual: 32,
  },
  {
    name: "kv_cache",
    label: "Cache",
    hint: "What is reused from earlier passes. dual: fastest; none: exact.",
    kind: "choice",
    choices: { none: "none", prefix: "prefix", dual: "dual" },
    usual: "dual",
  },
  {
    name: "remasking",
    label: "Fills in first",
    hint: "Which of the masked tokens go first.",
    kind: "choice",
    choices: {
      low_confidence: "the most probable",
      margin: "those furthest ahead of the second choice",
      entropy: "those with the lowest entropy",
      random: "random ones",
      sequential: "from left to right",
    },
    usual: "low_confidence",
  },
  {
    name: "temperature",
    label: "Temperature",
    hint: "0 takes the likeliest token; more leaves more to chance.",
    kind: "number",
    range: { min: 0, max: 2, step: "any" },
    usual: 0,
  },
  {
    name: "cfg_scale",
    label: "Guidance",
    hint: "How strongly the prompt steers the answer. 0: off. Otherwise a pass costs twice as much, and no canvas grows.",
    kind: "number",
    range: { min: 0, max: 1000, step: "any" },
    usual: 0,
  },
  {
    name: "end_of_thinking_boost",
    label: "End of thinking",
    hint: "How strongly the model is pushed to end its thinking as it goes on, in a chat. 0: not at all.",
    kind: "number",
    range: { min: -1000, max: 1000, step: "any" },
    usual: 0,
  },
  {
    name: "end_of_thinking_power",
    label: "How late",
    hint: "The higher, the later it is pushed, and the more suddenly.",
    kind: "number",
    range: { min: 0, max: 100, step: "any" },
    usual: 2,
  },
  {
    name: "thinking_budget",
    label: "Thinking budget",
    hint: "Tokens after which it is pushed with full strength. Leave it empty for the length of the canvas.",
    kind: "number",
    range: { min: 1, step: 1 },
    optional: true,
  },
  {
    name: "seed",
    label: "Seed",
    hint: "The same seed gives the same answer again. Leave it empty for a random one.",
    kind: "number",
    range: { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
    optional: true,
  },
];

const RULES = FIELDS.filter((field) => field.rule).map((field) => field.name);

/** Whether a model that knows these `options` can be asked with a field; `rule` is one of the page alone. */
export function isKnown(name, options) {
  return name === "rule" || options.includes(name);
}

/** What the server does with a request to a model that sets nothing, as settings; null for what it does not know. */
export function serverSettings({ defaults, options, max_model_len: room }) {
  const settings = { rule: ruleOf(defaults) };
  for (const { name, usual = null } of FIELDS) settings[name] ??= isKnown(name, options) ? (defaults[name] ?? usual) : null;
  settings.max_tokens = Math.min(settings.max_tokens, room);
  settings.steps = stepsOf(settings, defaults);
  settings.block_length = Math.min(settings.block_length, settings.max_tokens);
  return settings;
}

/** A fixed schedule on a short canvas: slow, and the best to see what a pass does. One that grows begins short. */
export function settingsToWatch(model) {
  const server = serverSettings(model);
  if (server.canvas === "grow") return server;
  const length = Math.min(server.max_tokens, 64);
  const block = Math.min(server.block_length, length);
  return { ...server, rule: "steps", steps: Math.ceil(length / 2), max_tokens: length, block_length: block };
}

/** All tokens that the model is sure of at once: what is usually the best choice. */
export function settingsToServe(model) {
  return { ...settingsToWatch(model), rule: "threshold" };
}

/** The same settings for a canvas of another length, with as many tokens a pass. */
export function withLength(settings, length) {
  const steps = Math.ceil((settings.steps * length) / settings.max_tokens);
  return { ...settings, max_tokens: length, steps, block_length: Math.min(settings.block_length, length) };
}

/** The fields of a request. */
export function optionsOf(settings) {
  const options = {};
  settings = settings.cfg_scale > 0 && settings.canvas === "grow" ? { ...settings, canvas: "fixed" } : settings;
  for (const { name, rule } of FIELDS) {
    const isMeant = rule ? name === settings.rule : name !== "rule";
    if (isMeant && (settings[name] ?? null) !== null) options[name] = settings[name];
  }
  return options;
}

/** Those fields that the server would not take by itself. */
export function ownOptionsOf(settings, defaults) {
  const taken = optionsOf({ ...defaults, steps: stepsOf(settings, defaults), rule: ruleOf(defaults) });
  const options = Object.entries(optionsOf(settings));
  return Object.fromEntries(options.filter(([name, value]) => value !== taken[name]));
}

/** A few words that tell two choices of settings apart. */
export function summaryOf(settings) {
  const words = [`${settings.rule} ${settings[settings.rule]}`, `blocks of ${settings.block_length}`];
  if (settings.canvas === "grow") words.push("growing canvas");
  words.push(settings.kv_cache === "none" ? "no cache" : `${settings.kv_cache} cache`);
  if (settings.temperature > 0) words.push(`temperature ${settings.temperature}`);
  if (settings.cfg_scale > 0) words.push(`guidance ${settings.cfg_scale}`);
  if (settings.remasking !== "low_confidence") words.push(`${settings.remasking} remasking`);
  if (settings.seed !== null) words.push(`seed ${settings.seed}`);
  return words.join(" · ");
}

function ruleOf(defaults) {
  return RULES.find((name) => (defaults[name] ?? null) !== null) ?? "steps";
}

/** Without a number of steps the server takes one for each token. */
function stepsOf({ max_tokens: length }, defaults) {
  return Math.min(defaults.steps ?? length, length);
}
