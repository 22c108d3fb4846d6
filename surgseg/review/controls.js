"use strict";
// What stands around the canvas: list, buttons, sliders, keys.

const STATUS = {
  open: "○ open", accepted: "✓ accepted", corrected: "✎ corrected", empty: "∅ none",
  unusable: "✕ unusable",
};
const TABS = { queue: "Queue", audit: "Audit", all: "All" };
const element = (id) => document.getElementById(id);
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const message = element("message"), help = element("help"), rows = new Map(); // index -> row of the list
let tab = "queue", place = 0; // the place in the tab, also while a frame outside of it is shown

// section, key, name on its button ("": no button), what it does, action
const ACTIONS = [
  ["tools", "b", "Brush", "brush of the chosen class (right button: eraser)", () => setTool("brush")],
  ["tools", "e", "Eraser", "eraser: background", () => setTool("eraser")],
  ["tools", "p", "Polygon", "polygon: click corners; Enter or the first corner closes it, Backspace drops a corner, Esc all",
    () => setTool("polygon")],
  ["tools", "v", "Void", "brush of void: pixels that nobody can judge, they count nowhere", () => setTool("void")],
  ["tools", "c", "Remove", "click on a part to remove it", () => setTool("remove")],
  ["tools", "k", "Keep", "click on the only part of its class to keep", () => setTool("keep")],
  ["tools", "t", "Threshold", "brush that decides by the model's probability", () => setTool("level")],
  ["", "[  ]", "", "smaller or larger brush (also the wheel)"],
  ["", "[", "", "", () => setSize(settings.size / 1.15)],
  ["", "]", "", "", () => setSize(settings.size * 1.15)],
  ["", ",  .", "", "lower or higher threshold: of the brush while it is in hand, else of the whole frame"],
  ["", ",", "", "", () => stepLevel(-0.05)],
  ["", ".", "", "", () => stepLevel(0.05)],
  ["", "0 – 9", "", "class (with Shift: 10 to 19)"],
  ["edits", "z", "Undo", "undo (also Ctrl+Z)", undo],
  ["edits", "y", "Redo", "redo (also Ctrl+Y)", redo],
  ["edits", "r", "Predicted", "as predicted: drop all corrections", resetToPrediction],
  ["edits", "n", "None", "no instrument: remove all instruments", () => change(removeInstruments)],
  ["edits", "Shift+←", "Carry", "carry the mask to the frame before, along the motion", () => propagate(-1)],
  ["edits", "Shift+→", "Carry", "carry the mask to the frame after, along the motion", () => propagate(1)],
  ["looks", "l", "Outline", "outline and names on or off", () => { settings.outline = !settings.outline; redraw(); }],
  ["looks", "f", "Fit", "show the whole frame", fit],
  ["looks", "x", "Before", "hold: the mask as predicted", () => look("predicted")],
  ["looks", "h", "Hide", "hold: the frame without mask", () => look("nothing")],
  ["", "o  O", "", "less or more opacity of the mask"],
  ["", "o", "", "", () => setOpacity(settings.opacity - 0.1)],
  ["", "O", "", "", () => setOpacity(settings.opacity + 0.1)],
  ["", "+  –", "", "zoom (also Ctrl and wheel, or two fingers); hold Space or the middle button to move"],
  ["", "+", "", "", () => zoom(1.25)],
  ["", "=", "", "", () => zoom(1.25)],
  ["", "-", "", "", () => zoom(0.8)],
  ["", "Escape", "", "", cancelStroke],
  ["", "Backspace", "", "", dropCorner],
  ["", "←  →", "", "frame before or after in the list, nothing is saved (also ↑ ↓)"],
  ["", "←", "", "", () => go(-1)],
  ["", "→", "", "", () => go(1)],
  ["", "↑", "", "", () => go(-1)],
  ["", "↓", "", "", () => go(1)],
  ["", "q", "", "next list: queue, audit, all frames", () => openTab({ queue: "audit", audit: "all", all: "queue" }[tab])],
  ["finish", "u", "Unusable", "out of the body, black or blurred: saved without mask", () => accept(true)],
  ["finish", "?", "Keys", "this list", () => help.showModal()],
  ["finish", "Enter", "Accept, next", "save, then the next open frame", () => accept()],
];

function className(id) {
  return id === VOID ? "void" : list.classes[id].name;
}

// The class that a threshold gives to new pixels: the chosen one if it is an instrument, else the first.
function instrumentId() {
  return isInstrument[settings.classId] ? settings.classId : isInstrument.indexOf(true);
}

function removeInstruments() {
  frame.ids.forEach((id, at) => { if (isInstrument[id]) frame.ids[at] = 0; });
}

function say(text, isBad = false) {
  message.textContent = text;
  message.className = isBad ? "bad" : "";
}

// Settings

function setTool(tool) {
  if (polygon.length) cancelStroke();
  settings.tool = tool;
  showState();
  refresh();
}

function setClass(id) {
  if (!list.classes[id]) return;
  settings.classId = id;
  if (settings.tool === "eraser" || settings.tool === "void") settings.tool = "brush";
  showState();
}

function setSize(size) {
  settings.size = Math.min(300, Math.max(1, size < settings.size ? Math.floor(size) : Math.ceil(size)));
  showState();
  refresh();
}

function setOpacity(opacity) {
  settings.opacity = Math.min(1, Math.max(0, opacity));
  setColours();
  redraw();
  showState();
}

function stepLevel(by) {
  const name = settings.tool === "level" ? "level" : "frameLevel";
  settings[name] = Math.min(1, Math.max(0, Math.round(20 * (settings[name] + by)) / 20));
  if (name === "frameLevel" && frame && frame.probability) change(() => decideFrame(settings.frameLevel, frame.ids));
  showState();
}

function look(what) {
  if (shown !== "mine" || stroke || (what === "predicted" && !(frame && frame.predicted))) return;
  shown = what;
  redraw();
  say(what === "predicted" ? "As predicted" : "Without mask");
}

function lookNoMore() {
  if (shown !== "predicted" && shown !== "nothing") return;
  shown = "mine";
  redraw();
  say("");
}

// List

function inTab(name = tab) {
  if (name === "all") return list.frames;
  if (name === "audit") return list.frames.filter((item) => item.purpose === "audit");
  return list.frames.filter((item) => item.purpose === "correct").sort((a, b) => a.rank - b.rank);
}

const isOpen = ({ status }) => status === "open";

// Index of the next open frame after the one that is shown, from the start again at the end; null if there is none.
function nextOpen() {
  const items = inTab(), start = items[place] && frame && items[place].index === frame.index ? place + 1 : place;
  const turned = [...items.slice(start), ...items.slice(0, start)];
  const found = turned.find((item) => isOpen(item) && item.index !== frame.index);
  return found ? found.index : null;
}

function neighbour(by) {
  const items = inTab(), isHere = items[place] && frame && items[place].index === frame.index;
  const item = items[isHere ? place + by : place];
  return item ? item.index : null;
}

function go(by) {
  const index = neighbour(by);
  if (index !== null) openFrame(index);
}

function openTab(name) {
  tab = name;
  rows.clear();
  element("list").replaceChildren(...inTab().map(makeRow));
  const items = inTab(), here = frame ? items.findIndex((item) => item.index === frame.index) : -1;
  place = Math.max(0, here >= 0 ? here : items.findIndex(isOpen));
  if (items.length && here < 0) openFrame(items[place].index);
  else if (items.length) showPlace();
  else say(name === "all" ? "This folder has no frames." : "This list is empty: select_frames.py chooses its frames.");
  showProgress();
}

function makeRow(item) {
  const row = make("button", { onclick: () => openFrame(item.index) });
  row.append(make("img", { loading: "lazy", src: `frames/${item.index}/thumbnail`, alt: "" }));
  row.append(make("span"), make("span"), make("span", { className: "why" }));
  rows.set(item.index, row);
  showRow(item.index);
  return row;
}

function duration(seconds) {
  return seconds < 100 ? `${Math.round(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
}

function stateOf(item) {
  const state = unsaved.has(item.index) ? "● not saved" : STATUS[item.status];
  return item.seconds ? `${state} · ${duration(item.seconds)}` : state;
}

function showRow(index) {
  const row = rows.get(index), item = list.frames[index];
  if (!row) return;
  const [, name, state, why] = row.children;
  name.textContent = item.name;
  state.textContent = stateOf(item);
  why.textContent = row.title = item.reason; // none in the audit
  showProgress();
}

function showProgress() {
  const items = inTab(), done = items.filter((item) => !isOpen(item));
  const seconds = done.reduce((sum, item) => sum + item.seconds, 0);
  const each = done.length && seconds ? ` · ${duration(seconds)}, ${duration(seconds / done.length)} each` : "";
  element("progress").textContent = `${done.length} of ${items.length} done${each}`;
  for (const button of element("tabs").children) button.classList.toggle("on", button.value === tab);
}

// Move the mark of the list to the frame that is shown.
function showPlace() {
  const here = inTab().findIndex((item) => item.index === frame.index);
  if (here >= 0) place = here;
  for (const [index, row] of rows) row.classList.toggle("on", index === frame.index);
  const row = rows.get(frame.index);
  if (row) row.scrollIntoView({ block: "nearest" });
}

// Header, buttons, sliders, conflict: as the state is.
function showState() {
  for (const button of element("tools").children) button.classList.toggle("on", button.value === settings.tool);
  for (const button of element("classes").children) button.classList.toggle("on", button.value === `${settings.classId}`);
  for (const [name, slider] of Object.entries(sliders)) {
    slider.value = settings[name];
    slider.nextSibling.textContent = name === "size" ? settings.size : settings[name].toFixed(2);
  }
  if (!frame) return;
  const item = list.frames[frame.index];
  const words = [clock(item.time_s), stateOf(item), item.purpose === "audit" ? "audit" : item.reason, frame.note];
  element("name").textContent = item.name;
  element("about").textContent = words.filter(Boolean).join(" · ");
  for (const name of ["level", "frameLevel"]) if (sliders[name]) sliders[name].disabled = !frame.probability;
  element("conflict").hidden = !conflict;
  if (!conflict) return;
  const [told, looking, theirs, mine] = element("conflict").children;
  told.textContent = conflict.message;
  looking.textContent = shown === "theirs" ? "Look at mine" : "Look at theirs";
  theirs.disabled = mine.disabled = !conflict.ids;
}

// Build

const sliders = {};

function addSlider(name, text, most, step) {
  const input = make("input", { type: "range", min: name === "size" ? 1 : 0, max: most, step, id: name });
  input.onpointerup = () => input.blur();
  sliders[name] = input;
  element("sliders").append(make("label", { textContent: text, htmlFor: name }), input, make("output"));
}

function buildSliders() {
  addSlider("size", "Size", 300, 1);
  addSlider("opacity", "Opacity", 1, 0.05);
  sliders.size.oninput = () => { settings.size = Number(sliders.size.value); showState(); };
  sliders.opacity.oninput = () => setOpacity(Number(sliders.opacity.value));
  if (!list.probabilities) return;
  addSlider("level", "Brush p ≥", 1, 0.01);
  addSlider("frameLevel", "Frame p ≥", 1, 0.01);
  sliders.level.oninput = () => { settings.level = Number(sliders.level.value); showState(); };
  let before = null; // one step of the history for one pull at the slider
  sliders.frameLevel.oninput = () => {
    settings.frameLevel = Number(sliders.frameLevel.value);
    showState();
    if (isLocked() || stroke) return;
    before = before || frame.ids.slice();
    decideFrame(settings.frameLevel, before);
    redraw();
  };
  sliders.frameLevel.onchange = () => { if (before) settle(before); before = null; };
}

function addButton(section, key, name, run) {
  const button = make("button", { onclick: (event) => { if (event.detail) button.blur(); run(); } });
  button.append(make("span", { textContent: name }), make("kbd", { textContent: key.replace("Shift+", "⇧") }));
  element(section).append(button);
  return button;
}

function build() {
  const tools = { b: "brush", e: "eraser", p: "polygon", v: "void", c: "remove", k: "keep", t: "level" };
  for (const [section, key, name, what, run] of ACTIONS) {
    if (section) {
      const button = addButton(section, key, name, run);
      button.title = what;
      if (section === "tools") button.value = tools[key];
      if (key === "Enter") button.className = "wide";
      if (key === "x" || key === "h") { button.onclick = null; button.onpointerdown = run; }
    }
    if (what) {
      const line = make("p");
      line.append(make("kbd", { textContent: key }), make("span", { textContent: what }));
      help.querySelector("div").append(line);
    }
  }
  for (const [name, text] of Object.entries(TABS)) {
    const button = make("button", { textContent: `${text} ${inTab(name).length}`, value: name });
    button.onclick = () => { button.blur(); openTab(name); };
    element("tabs").append(button);
  }
  for (const item of list.classes) {
    const key = item.id < 10 ? `${item.id}` : item.id < 20 ? `⇧${item.id - 10}` : "", swatch = make("i");
    const button = addButton("classes", key, item.name, () => setClass(item.id));
    swatch.style.background = `rgb(${item.colour.join()})`;
    button.prepend(swatch);
    Object.assign(button, { value: item.id, title: item.name });
  }
  element("classes").classList.toggle("few", list.classes.length < 6);
  buildSliders();
}

// Keys

const ARROWS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

function keyOf(event) {
  if ((event.ctrlKey || event.metaKey) && !event.altKey) {
    const key = event.key.toLowerCase();
    return key === "z" && event.shiftKey ? "y" : key === "z" || key === "y" ? key : "";
  }
  const key = ARROWS[event.key] || event.key;
  return ARROWS[event.key] && event.shiftKey ? `Shift+${key}` : key;
}

document.onkeydown = (event) => {
  const key = keyOf(event), digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
  const actionOf = (name) => ACTIONS.find((item) => item[4] && item[1] === name);
  const action = actionOf(key) || actionOf(key.toLowerCase());
  if (help.open) return;
  if (event.target.matches("button:focus-visible") && (key === "Enter" || key === " ")) return;
  if (event.target.matches("input") && ARROWS[event.key]) return;
  if (!key || !list || (event.repeat && ["Enter", "u", "x", "h"].includes(key))) return;
  if (key === " ") spaceIsDown = true;
  else if (digit && !event.ctrlKey && !event.altKey) setClass(Number(digit[1]) + (event.shiftKey ? 10 : 0));
  else if (action) action[4]();
  else return;
  event.preventDefault();
};

document.onkeyup = (event) => {
  if (event.key === " ") spaceIsDown = false;
  if (["x", "h"].includes(event.key.toLowerCase())) lookNoMore();
};
onblur = () => { spaceIsDown = false; lookNoMore(); };
onpointerup = lookNoMore;

for (const [name, run] of Object.entries({ look: lookAtTheirs, theirs: takeTheirs, mine: keepMine })) {
  document.querySelector(`[data-do=${name}]`).onclick = run;
}
help.querySelector("button").onclick = () => help.close();

async function start() {
  try {
    list = await (await ask("list")).json();
  } catch (error) {
    return say(error.message, true);
  }
  isInstrument = Array.from({ length: 256 }, (_, id) => Boolean(list.classes[id] && list.classes[id].instrument));
  const level = list.threshold ?? 0.5;
  Object.assign(settings, { classId: isInstrument.indexOf(true), level, frameLevel: level });
  document.title = `${list.folder}: review of masks (research use)`;
  setColours();
  await findStrokes();
  build();
  openTab(Object.keys(TABS).find((name) => inTab(name).some(isOpen)) || "all");
}
start();
