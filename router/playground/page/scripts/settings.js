/** What can be set for an answer. A hint says in one line what it does; `usual` is for models that have no default. */
export const FIELDS = [
  {
    name: "max_tokens",
    label: "Canvas length",
    hint: "Masked tokens to begin with; an answer that ends earlier stops there.",
    kind: "number",
    range: { min: 1, step: 1 },
    usual: 128,
  },
  {
    name: "rule",
    label: "A pass commits",
    hint: "What decides how many tokens each forward pass fills in.",
    kind: "choice",
    choices: {
      threshold: "all tokens it is sure of",
      factor: "more, the surer it is",
      steps: "a fixed share of them",
    },
  },
  {
    name: "threshold",
    label: "Threshold",
    hint: "It is sure from this probability on. Lower: fewer passes. Higher: more careful.",
    kind: "number",
    range: { min: 0, max: 1, step: "any" },
    usual: 0.9,
    rule: true,
  },
  {
    name: "factor",
    label: "Factor",
    hint: "How much doubt a pass may take on in all. Higher: fewer passes.",
    kind: "number",
    range: { min: 0, max: 1000, step: "any" },
    usual: 1,
    rule: true,
  },
  {
    name: "steps",
    label: "Steps",
    hint: "Passes for the whole canvas; as many as it has tokens: one at a time.",
    kind: "number",
    range: { min: 1, step: 1 },
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
    hint: "What a pass need not compute again. Dual is fastest; none is the exact algorithm.",
    kind: "choice",
    choices: { none: "none", prefix: "prefix", dual: "dual" },
    usual: "dual",
  },
  {
    name: "remasking",
    label: "Prefers",
    hint: "Which tokens a pass commits first.",
    kind: "choice",
    choices: {
      low_confidence: "the most probable",
      margin: "those furthest ahead of the second best",
      entropy: "those with the least doubt",
      random: "any, by chance",
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
    hint: "How hard the prompt pulls (cfg_scale). 0 is off; more makes each pass cost two.",
    kind: "number",
    range: { min: 0, max: 1000, step: "any" },
    usual: 0,
  },
  {
    name: "seed",
    label: "Seed",
    hint: "The same seed gives the same answer again. Empty: by chance.",
    kind: "number",
    range: { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
    optional: true,
  },
];

const RULES = FIELDS.filter((field) => field.rule).map((field) => field.name);

/** What the server does with a request to `model` that sets nothing, as settings. */
export function serverSettings({ defaults, max_model_len: room }) {
  const settings = { rule: ruleOf(defaults) };
  for (const { name, usual = null } of FIELDS) settings[name] ??= defaults[name] ?? usual;
  settings.max_tokens = Math.min(settings.max_tokens, room);
  settings.steps = stepsOf(settings, defaults);
  settings.block_length = Math.min(settings.block_length, settings.max_tokens);
  return settings;
}

/** A fixed schedule on a short canvas: slow, and the best to see what a pass does. */
export function settingsToWatch(model) {
  const server = serverSettings(model);
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

/** The fields of a request; those that the server would take by itself are left out. */
export function optionsOf(settings, defaults) {
  const taken = { ...defaults, steps: stepsOf(settings, defaults) };
  const options = {};
  for (const { name, rule } of FIELDS) {
    if (name === "rule" || (rule && name !== settings.rule)) continue;
    const isTaken = settings[name] === taken[name] && (!rule || name === ruleOf(defaults));
    if (settings[name] !== null && !isTaken) options[name] = settings[name];
  }
  return options;
}

/** A few words that tell two choices of settings apart. */
export function summaryOf(settings) {
  const words = [`${settings.rule} ${settings[settings.rule]}`, `blocks of ${settings.block_length}`];
  words.push(settings.kv_cache === "none" ? "no cache" : `${settings.kv_cache} cache`);
  if (settings.temperature > 0) words.push(`temperature ${settings.temperature}`);
  if (settings.cfg_scale > 0) words.push(`guidance ${settings.cfg_scale}`);
  if (settings.remasking !== "low_confidence") words.push(`${settings.remasking} remasking`);
  if (settings.seed !== null) words.push(`seed ${settings.seed}`);
  return words.join(" · ");
}

function ruleOf(defaults) {
  return RULES.find((name) => defaults[name] !== null) ?? "steps";
}

/** Without a number of steps the server takes one for each token. */
function stepsOf({ max_tokens: length }, defaults) {
  return Math.min(defaults.steps ?? length, length);
}
