import { Api } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
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
  onchoose: (model) => panel.suit(model),
  onkey: () => panel.askForKey(),
});
const composer = new Composer({ onsend: send, onstop: () => conversation.stop(), onclear: clear });

find("composer").append(composer.element);
for (const [label, example] of Object.entries(EXAMPLES)) find("examples").append(button(label, () => show(example)));
panel.key.addEventListener("change", () => models.load());
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && !document.querySelector("dialog[open]")) conversation.stop();
});
models.load();

function send(asked) {
  if (!models.chosen || !panel.areUsable()) return false;
  const requests = new Map(panel.sides.map(([side, settings]) => [side, requestOf(asked, side, settings)]));
  run(asked, requests);
  return true;
}

async function run(asked, requests) {
  find("intro").hidden = true;
  composer.isRunning = true;
  const turn = await conversation.ask(asked, requests, api);
  composer.isRunning = false;
  find("announcer").textContent = turn.told;
}

function requestOf(asked, side, settings) {
  if (asked.isChat) {
    const messages = conversation.messages(side, panel.system.value.trim(), asked.message);
    return new ChatRequest(models.chosen, settings, messages);
  }
  return new FillRequest(models.chosen, settings, asked);
}

function clear() {
  conversation.clear();
  find("intro").hidden = false;
}

function show({ isCompared = false, ...example }) {
  panel.isComparing = isCompared;
  composer.example(example);
}
