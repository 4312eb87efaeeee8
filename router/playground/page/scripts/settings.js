import { FIELDS } from "./setting_fields.js";

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
  const roomForPrompts = Math.floor(model.max_model_len / 2);
  if (server.canvas === "grow") return withLength(server, Math.min(server.max_tokens, roomForPrompts));
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
