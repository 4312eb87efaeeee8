import { Api } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation, messagesOf } from "./conversation.js";
import { button } from "./elements.js";
import { Models } from "./models.js";
import { Panel } from "./panel.js";
import { ChatRequest, FillRequest } from "./requests.js";

const EXAMPLES = {
  "Count to 7": { message: "Count to 7" },
  "What are you?": { message: "What are you?" },
  "Fill in a gap": { message: "Count to 7", before: "1, 2", after: ", 6, 7", gap: 9 },
  "Compare two settings": { message: "What are you?", isCompared: true },
};

const find = (id) => document.getElementById(id);

const panel = new Panel(find("settings"));
const api = new Api(() => panel.key.value.trim());
const conversation = new Conversation(find("turns"));
const models = new Models(api, find("model"), find("trouble"), {
  onchoose: (model) => {
    panel.suit(model);
    composer.longest = model.max_model_len;
  },
  onkey: () => panel.askForKey(),
});
const composer = new Composer({ onsend: send, onstop: () => conversation.stop(), onclear: clear });

find("composer").append(composer.element);
for (const [label, example] of Object.entries(EXAMPLES)) find("examples").append(button(label, () => show(example)));
panel.key.addEventListener("change", () => models.load());
document.addEventListener("keydown", ({ key, isComposing }) => {
  if (key === "Escape" && !isComposing && !document.querySelector("dialog[open]")) conversation.stop();
});
document.addEventListener("visibilitychange", () => document.hidden || models.load());
new ResizeObserver(([{ target }]) => {
  document.documentElement.style.setProperty("--ask-height", `${target.offsetHeight}px`);
}).observe(find("ask"));
models.load();

function send(asked) {
  if (!models.chosen) {
    models.load(); // which says what is missing
    return false;
  }
  if (!panel.areUsable()) return false;
  const requests = new Map(panel.sides.map(([side, settings]) => [side, requestOf(asked, side, settings)]));
  run(asked, requests);
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

function requestOf(asked, side, settings) {
  const system = panel.system.value.trim();
  if (asked.isChat) {
    return new ChatRequest(models.chosen, settings, conversation.messages(side, system, asked.message));
  }
  return new FillRequest(models.chosen, settings, asked.message ? messagesOf(system, asked.message) : [], asked);
}

function clear() {
  conversation.clear();
  find("intro").hidden = false;
}

function show({ isCompared = false, ...example }) {
  panel.isComparing = isCompared;
  composer.example(example);
}
