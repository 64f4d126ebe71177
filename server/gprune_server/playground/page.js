// The page: the effect of pruning on a picture and on the answer to a question.

import { ask, describePruning, listModels, showTokens, warmUp } from "./api.js";
import { draw } from "./overlay.js";

const SAMPLES = ["sign.png", "shapes.png", "panorama.png"];
const NAMES = { base: "Whole picture", grid: "Crops", image: "Picture", picture: "Picture", thumbnail: "Whole picture" };
const get = (id) => document.getElementById(id);
const state = { model: null, image: null, picture: null, shown: null, turn: 0, warm: false };

const ratios = () => {
  const slider = get("ratio"), count = Math.round(slider.max / slider.step);
  return Array.from({ length: count + 1 }, (_, step) => Number((step * slider.step).toFixed(2)));
};
const key = () => get("key").value;
const percent = (ratio) => `${Math.round(ratio * 100)} %`;

function report(error) {
  get("error").textContent = error ? error.message : "";
  if (error?.status === 401) {
    get("key-details").open = true;
    get("key").focus();
  }
}

async function connect() {
  const [models, pruning] = await Promise.all([listModels(key()), describePruning(key())]);
  state.model = models.data[0].id;
  get("model").textContent = state.model;
  get("ratio").max = Math.min(0.95, pruning.max_prune_ratio ?? 0.95);
  get("method").replaceChildren(...pruning.methods.map((name) => new Option(name)));
}

async function take(image) {
  const picture = new Image();
  picture.src = image;
  await picture.decode().catch(() => { throw new Error("This is not a picture that the browser can show."); });
  Object.assign(state, { image, picture, shown: null });
  show();
  await plan();
}

async function plan() {
  if (!state.image) return;
  const turn = ++state.turn;
  if (!state.model) await connect();
  const shown = await showTokens(state.image, ratios(), get("method").value, key());
  if (turn === state.turn) state.shown = shown; // otherwise another picture or method has been chosen since
  report(null);
  show();
}

// A view for each group of tokens: how many there are, and what they are called, depends on the model.
function views(names) {
  if (names.join() === [...get("views").children].map((view) => view.dataset.group).join()) return;
  get("views").replaceChildren(...names.map((name) => {
    const view = document.createElement("figure"), canvas = document.createElement("canvas");
    const caption = document.createElement("figcaption"), count = document.createElement("output");
    const title = NAMES[name] ?? name;
    Object.assign(canvas, { id: name, role: "img", ariaLabel: `Kept tokens: ${title}` });
    count.id = `${name}-count`;
    caption.append(`${title}: `, count);
    view.dataset.group = name;
    view.append(canvas, caption);
    return view;
  }));
}

function show() {
  const ratio = Number(get("ratio").value);
  get("ratio-text").textContent = percent(ratio);
  if (!state.picture) return;
  const plan = state.shown?.plans.find((each) => Math.abs(each.prune_ratio - ratio) < 0.001);
  // Each of several tiles shows a part of the picture, and not the whole.
  const groups = state.shown?.groups.filter((group) => group.rows && group.frames === 1) ?? [{ name: "picture" }];
  views(groups.map((group) => group.name));
  for (const { name, ...group } of groups) {
    const kept = plan?.kept_indices[name] ?? [];
    draw(get(name), state.picture, plan && group, kept);
    get(`${name}-count`).textContent = plan ? `${kept.length} of ${group.rows * group.columns} tokens` : "–";
  }
  get("total").textContent = plan ? `${plan.kept} of ${plan.input} visual tokens kept, newlines included.` : "";
}

function facts(id, { usage, first, total }) {
  const seconds = (time) => (time === null ? "–" : `${(time / 1000).toFixed(2)} s`);
  const rows = {
    "Visual tokens": usage?.visual_tokens?.kept ?? "–", "Prompt tokens": usage?.prompt_tokens ?? "–",
    "First token": seconds(first), "Whole answer": seconds(total),
  };
  const items = Object.entries(rows).flatMap(([name, value]) => {
    const term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = name;
    description.textContent = value;
    return [term, description];
  });
  get(id).replaceChildren(...items);
}

async function askBoth() {
  if (!state.image) throw new Error("Choose a picture first.");
  if (!state.model) await connect();
  const ratio = Number(get("ratio").value);
  get("pruned-heading").textContent = `Pruned by ${percent(ratio)}`;
  for (const name of ["pruned", "full"]) {
    get(`${name}-answer`).textContent = "";
    get(`${name}-facts`).replaceChildren();
  }
  if (!state.warm) await warmUp(state.model, key());
  state.warm = true;
  // One after the other: concurrent requests would slow each other down.
  for (const [name, amount] of [["pruned", ratio], ["full", 0]]) {
    const { model, image } = state;
    const request = { model, image, question: get("question").value, ratio: amount, method: get("method").value };
    facts(`${name}-facts`, await ask(request, key(), (text) => { get(`${name}-answer`).textContent = text; }));
  }
}

const read = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(new Error("The file cannot be read."));
  reader.readAsDataURL(file);
});

async function takeFile(file) {
  if (!file?.type.startsWith("image/")) throw new Error("This is not a picture.");
  await take(await read(file));
}

/** Wrap an action so that the page shows its error. */
const attempt = (action) => async (...values) => {
  report(null);
  await action(...values).catch(report);
};

function addSamples() {
  for (const name of SAMPLES) {
    const button = document.createElement("button"), image = new Image();
    button.type = "button";
    image.src = `playground/samples/${name}`;
    image.alt = `Sample ${name.replace(".png", "")}`;
    button.append(image);
    button.addEventListener("click", attempt(async () => takeFile(await (await fetch(image.src)).blob())));
    get("samples").append(button);
  }
}

function listen() {
  const drop = get("drop");
  get("file").addEventListener("change", attempt(async (event) => takeFile(event.target.files[0])));
  for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.toggle("over", over); });
  }
  drop.addEventListener("drop", attempt(async (event) => takeFile(event.dataTransfer.files[0])));
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) attempt(takeFile)(event.clipboardData.files[0]);
  });
  get("ratio").addEventListener("input", show);
  get("method").addEventListener("change", attempt(plan));
  get("key").addEventListener("change", attempt(async () => { await connect(); await plan(); }));
  get("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    get("ask").disabled = true;
    await attempt(askBoth)();
    get("ask").disabled = false;
  });
}

addSamples();
listen();
show();
attempt(connect)();
