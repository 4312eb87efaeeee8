const OPTIONS = [
  "max_tokens",
  "block_length",
  "steps",
  "threshold",
  "factor",
  "remasking",
  "kv_cache",
  "cfg_scale",
  "temperature",
  "top_p",
  "seed",
];

/** What a server says of a model, with defaults that differ so from the usual ones, and further options. */
export function modelWith(defaults = {}, longest = 1024, options = []) {
  const usual = {
    max_tokens: 128,
    block_length: 32,
    steps: null,
    threshold: 0.9,
    factor: null,
    kv_cache: "dual",
    remasking: "low_confidence",
    cfg_scale: 0,
    temperature: 0,
    top_p: 1,
  };
  return { id: "tdi-demo", max_model_len: longest, defaults: { ...usual, ...defaults }, options: [...OPTIONS, ...options] };
}
