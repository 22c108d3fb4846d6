"use strict";
// Frames: load, change, save, carry along. A frame with strokes that are not saved stays in memory and in the browser's
// storage until it is saved.

const IDLE_S = 30, KEPT = 8; // frames kept ready
const loaded = new Map(); // index -> promise of a frame; the oldest first
const unsaved = new Set(), spent = []; // indexes; seconds of work not yet sent, by index
let list = null, frame = null, conflict = null; // as the program answered; on the canvas; what a conflict is about
let isBusy = false, opened = 0, acted = performance.now(), isInstrument = [];

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(30000), ...options });
  } catch {
    throw new Error("review_masks.py does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(said.message || `the answer was ${answer.status}`), { status: answer.status });
}

async function askBytes(path) {
  return new Uint8Array(await (await ask(path)).arrayBuffer());
}

async function load(index) {
  const [picture, mask] = await Promise.all([ask(`frames/${index}/picture`), ask(`frames/${index}/mask`)]);
  const ids = new Uint8Array(await mask.arrayBuffer());
  const made = {
    index, ids, saved: ids.slice(), picture: await createImageBitmap(await picture.blob()),
    width: Number(mask.headers.get("X-Width")), height: Number(mask.headers.get("X-Height")),
    version: mask.headers.get("X-Version") || "", predicted: null, probability: null, undo: [], redo: [], note: "",
  };
  await restoreStrokes(made);
  if (list.frames[index].purpose !== "audit" || !list.blank_audit) loadPrediction(made);
  return made;
}

async function loadPrediction(made) {
  made.predicted = await askBytes(`frames/${made.index}/predicted`).catch(() => null);
  if (list.probabilities) made.probability = await askBytes(`frames/${made.index}/probability`).catch(() => null);
  if (made === frame) showState();
}

function getFrame(index) {
  const found = loaded.get(index) || load(index);
  loaded.delete(index);
  loaded.set(index, found);
  found.catch(() => loaded.delete(index));
  for (const old of loaded.keys()) {
    if (loaded.size > KEPT && old !== index && !unsaved.has(old) && !(frame && frame.index === old)) loaded.delete(old);
  }
  return found;
}

async function openFrame(index) {
  const turn = ++opened;
  countTime();
  let next;
  try {
    next = await getFrame(index);
  } catch (error) {
    return say(`Frame ${list.frames[index].name} cannot be shown: ${error.message}`, true);
  }
  if (turn !== opened) return; // the person has gone on
  if (stroke) settle(stroke.before);
  const isSameSize = frame && frame.width === next.width && frame.height === next.height;
  Object.assign(view, { fitted: view.fitted || !isSameSize });
  frame = next;
  conflict = stroke = null;
  polygon = [];
  shown = "mine";
  if (view.fitted) fit();
  else redraw();
  say("");
  showState();
  showPlace();
  for (const near of [nextOpen(), neighbour(1)]) if (near !== null) getFrame(near).catch(() => {});
}

// Unsaved strokes, for a page that is closed or killed: in the browser's own storage on this machine.

const strokesKey = (index) => `${list.folder}/${list.frames[index].name}`;
const storage = new Promise((resolve) => {
  const asked = indexedDB.open("surgseg", 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore("strokes");
  asked.onsuccess = () => resolve(asked.result);
  asked.onerror = () => resolve(null); // switched off: the strokes are in memory only
});

async function inStorage(mode, act) {
  const opened = await storage;
  if (!opened) return null;
  const work = opened.transaction("strokes", mode, { durability: "strict" });
  const request = act(work.objectStore("strokes"));
  return new Promise((resolve) => {
    work.oncomplete = () => resolve(request.result);
    work.onabort = () => resolve(null);
  });
}

function keepStrokes({ index, version, ids }) {
  const isKept = unsaved.has(index), key = strokesKey(index);
  inStorage("readwrite", (store) => (isKept ? store.put({ version, ids }, key) : store.delete(key)));
}

// Mark the frames of the list that have such strokes.
async function findStrokes() {
  const keys = new Set(await inStorage("readonly", (store) => store.getAllKeys()));
  for (const { index } of list.frames) if (keys.has(strokesKey(index))) unsaved.add(index);
}

async function restoreStrokes(made) {
  const kept = await inStorage("readonly", (store) => store.get(strokesKey(made.index)));
  const before = made.ids.slice();
  if (kept && kept.ids.length === before.length) made.ids.set(kept.ids);
  if (!remember(made, before)) return unsaved.delete(made.index);
  made.version = kept.version; // if the frame was saved since, saving is a conflict and the person decides
  made.note = "strokes of an earlier time that were not saved; undo removes them";
  unsaved.add(made.index);
}

// Changes

function isLocked() {
  return isBusy || shown !== "mine" || !frame;
}

function change(act) {
  if (isLocked() || stroke) return;
  const before = frame.ids.slice();
  act();
  settle(before);
}

// After the ids have changed: history, and whether they are saved.
function settle(before) {
  if (before) remember(frame, before);
  if (sameIds(frame.ids, frame.saved)) unsaved.delete(frame.index);
  else unsaved.add(frame.index);
  keepStrokes(frame);
  redraw();
  showState();
  showRow(frame.index);
}

function undo() {
  if (!isLocked() && !stroke && stepBack(frame)) settle();
}

function redo() {
  if (!isLocked() && !stroke && stepForward(frame)) settle();
}

function resetToPrediction() {
  if (frame && !frame.predicted) return say("This frame has no prediction.");
  change(() => frame.ids.set(frame.predicted));
}

function decideFrame(level, from) {
  const choose = decideBy(frame.probability, 255 * level, from, isInstrument, instrumentId());
  for (let place = 0; place < from.length; place++) frame.ids[place] = choose(place);
}

// Saving

async function save(isUnusable) {
  if (isLocked() || stroke) return false;
  countTime();
  const sent = frame, item = list.frames[sent.index], seconds = spent[sent.index] || 0;
  const query = new URLSearchParams({ seconds: seconds.toFixed(1), version: sent.version });
  if (isUnusable) query.set("unusable", "1");
  isBusy = true;
  say("Saving …");
  try {
    const options = { method: "POST", body: isUnusable ? "" : sent.ids };
    const said = await (await ask(`frames/${sent.index}/review?${query}`, options)).json();
    Object.assign(item, said, { purpose: item.purpose || "extra" });
    Object.assign(sent, { version: said.version, saved: sent.ids.slice(), note: "" });
    spent[sent.index] -= seconds;
    unsaved.delete(sent.index);
    keepStrokes(sent);
    say("");
    return frame === sent;
  } catch (error) {
    if (error.status === 409 && frame === sent) {
      conflict = { isUnusable, message: error.message, ids: null };
      say("");
    } else {
      say(`NOT SAVED: ${error.message} Your strokes are kept in this page; press Enter to try again.`, true);
    }
    return false;
  } finally {
    isBusy = false;
    showState();
    showRow(sent.index);
  }
}

async function accept(isUnusable = false) {
  if (polygon.length) return closePolygon();
  if (!(await save(isUnusable))) return;
  const next = nextOpen();
  if (next !== null) return openFrame(next);
  say(`Saved. No frame of this list is open: ${inTab().length} of ${inTab().length} are done.`);
}

async function lookAtTheirs() {
  const asked = conflict;
  try {
    if (!asked.ids) {
      const answer = await ask(`frames/${frame.index}/mask`);
      asked.ids = new Uint8Array(await answer.arrayBuffer());
      asked.version = answer.headers.get("X-Version");
    }
  } catch (error) {
    return say(error.message, true);
  }
  if (conflict !== asked) return; // another frame is shown by now
  shown = shown === "theirs" ? "mine" : "theirs";
  redraw();
  showState();
}

function endConflict() {
  const { ids, version, isUnusable } = conflict;
  frame.version = version;
  conflict = null;
  shown = "mine";
  redraw();
  showState();
  return { ids, isUnusable };
}

function keepMine() {
  accept(endConflict().isUnusable);
}

async function takeTheirs() {
  const { index } = frame, { ids } = endConflict();
  frame.saved = ids.slice();
  change(() => frame.ids.set(ids)); // undo brings mine back
  try {
    list.frames[index] = (await (await ask("list")).json()).frames[index];
  } catch (error) {
    say(error.message, true);
  }
  showRow(index);
  showState();
}

async function propagate(by) {
  const from = frame && frame.index, to = from + by;
  if (isLocked() || stroke) return;
  if (!list.frames[to]) return say("There is no such frame.");
  isBusy = true;
  say("Following the motion …");
  try {
    const answer = await ask(`propagate?from=${from}&to=${to}`, { method: "POST", body: frame.ids });
    const ids = new Uint8Array(await answer.arrayBuffer()), trusted = Math.round(100 * answer.headers.get("X-Trusted"));
    isBusy = false;
    await openFrame(to);
    if (frame.index !== to) return;
    frame.note = `carried from ${list.frames[from].name}, ${trusted} % of the motion trusted; not saved`;
    change(() => frame.ids.set(ids));
    showState();
  } catch (error) {
    say(`Not carried: ${error.message}`, true);
  } finally {
    isBusy = false;
  }
}

// Time of work: the time between two acts of the person, if it is short and the page is seen.

function countTime() {
  const now = performance.now(), gap = (now - acted) / 1000;
  if (frame && !document.hidden && gap < IDLE_S) spent[frame.index] = (spent[frame.index] || 0) + gap;
  acted = now;
}

for (const act of ["pointerdown", "pointermove", "keydown", "wheel", "input"]) {
  addEventListener(act, countTime, { capture: true, passive: true });
}
document.addEventListener("visibilitychange", () => { acted = performance.now(); });
addEventListener("beforeunload", (event) => { if (unsaved.size) event.preventDefault(); });
