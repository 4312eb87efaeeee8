const SPECIAL = /^(<\|[^|]*\|>|<\/?s>)$/; // as models name them
const NO_TEXT = "◇";
const STAND_INS = { "\n": "↵", "\t": "⇥", "\r": "␍", " ": "␣" };
const ENDINGS = {
  stop: "Finished early: the model wrote an end token.",
  length: "Finished: the canvas is full.",
};

/** A token as it fits on a tile: what is no text but a sign of the model's own has a short stand-in. */
export function brief(token) {
  return SPECIAL.test(token) ? NO_TEXT : visible(token);
}

/** A token that people can see, be it nothing: blanks at its ends, line breaks and other controls have stand-ins. */
export function visible(token) {
  if (!token) return NO_TEXT;
  return token
    .replace(/^ | $/g, (blank) => STAND_INS[blank])
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, (control) => STAND_INS[control] ?? "�");
}

export function percent(probability) {
  const hundredths = probability * 100;
  if (hundredths >= 99.95 && probability < 1) return "> 99.9 %";
  return hundredths > 0 && hundredths < 0.1 ? "< 0.1 %" : `${Number(hundredths.toPrecision(3))} %`;
}

export function duration(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

export function rounded(value) {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(2)));
}

/** "1 pass", "2 passes": `other` is the plural. */
export function counted(count, one, other) {
  return `${count} ${count === 1 ? one : other}`;
}

/** How far a run has come, and how it ended. */
export function stateInWords(run) {
  if (run.state === "waiting") return "Waiting for its turn …";
  if (run.state === "denoising") return "Denoising …";
  if (run.state === "stopped") return "Stopped.";
  if (run.state === "done" && !run.recording.text) return "Finished: the model wrote nothing but end tokens.";
  return ENDINGS[run.finishReason] ?? "";
}
