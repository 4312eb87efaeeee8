import { Api } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { button } from "./elements.js";
import { ModelChoice } from "./model_choice.js";
import { Models } from "./models.js";
import { Panel } from "./panel.js";
import { requestOf } from "./requests.js";

const EXAMPLES = {
  "Count to 7": { message: "Count to 7" },
  "What are you?": { message: "What are you?" },
  "Fill in a gap": { message: "Count to 7", before: "1, 2", after: ", 6, 7", gap: 9 },
  "Compare two settings": { message: "What are you?", isCompared: true },
};

const HAS_MOUSE = matchMedia("(hover: hover) and (pointer: fine)"); // elsewhere a keyboard might come up over the page

const find = (id) => document.getElementById(id);

const panel = new Panel(find("settings"));
const api = new Api(() => panel.key.value.trim());
const conversation = new Conversation(find("turns"));
const models = new Models(api, hear);
const choice = new ModelChoice(models, find("model"), find("trouble"), (model) => {
  panel.suit(model);
  composer.longest = model.max_model_len;
});
const composer = new Composer({ onsend: send, onstop: () => conversation.stop(), onclear: clear });

find("composer").append(composer.element);
for (const [label, example] of Object.entries(EXAMPLES)) find("examples").append(button(label, () => show(example)));
panel.key.addEventListener("change", askForModels);
document.addEventListener("keydown", ({ key, isComposing }) => {
  if (key === "Escape" && !isComposing && !document.querySelector("dialog[open]")) conversation.stop();
});
document.addEventListener("visibilitychange", () => document.hidden || models.load());
new ResizeObserver(([{ target }]) => {
  document.documentElement.style.setProperty("--ask-height", `${target.offsetHeight}px`);
}).observe(find("ask"));
if (HAS_MOUSE.matches && isIdle()) composer.focus();
models.load();

/** Answers what the user has just done, so that the focus may go where something is missing. */
async function askForModels() {
  await models.load();
  if (models.needsKey) panel.askForKey();
}

/** Shows what the server has, and takes the focus from nobody who is at something. */
function hear() {
  choice.draw();
  if (!models.needsKey) return;
  panel.showKey();
  if (isIdle()) panel.askForKey();
}

/** Says whether nobody has gone anywhere yet, or begun to write. */
function isIdle() {
  return document.activeElement === document.body || composer.isIdle;
}

function send(asked) {
  if (!choice.chosen) {
    askForModels(); // which says what is missing
    return false;
  }
  if (!panel.areUsable()) return false;
  const system = panel.system.value.trim();
  const request = (side, settings) => requestOf(asked, choice.chosen, settings, system, conversation.messages(side));
  run(asked, new Map(panel.sides.map(([side, settings]) => [side, request(side, settings)])));
  return true;
}

async function run(asked, requests) {
  find("intro").hidden = true;
  composer.isRunning = true;
  const turn = await conversation.ask(asked, requests, api);
  composer.isRunning = false;
  if (!turn.element.isConnected) return; // a new conversation has begun
  find("announcer").textContent = turn.told;
  if (turn.problem && asked.isChat) composer.restore(asked.message);
  if (turn.problem?.isAboutKey) panel.askForKey();
}

function clear() {
  conversation.clear();
  find("intro").hidden = false;
}

function show({ isCompared = false, ...example }) {
  panel.isComparing = isCompared;
  composer.example(example);
}
