"use strict";
// The canvas: frame, mask and pointer. Its units are CSS pixels; `toImage` gives pixels of the frame.

const canvas = document.getElementById("view"), paper = canvas.getContext("2d");
const overlay = document.createElement("canvas"), overlayPaper = overlay.getContext("2d");
const view = { scale: 1, left: 0, top: 0, fitted: true };
const settings = { tool: "brush", size: 24, classId: 1, level: 0.5, frameLevel: 0.5, opacity: 0.4, outline: true };
const pointers = new Map(); // of fingers, pens and mice that are down: their last point on the canvas
let fill = new Uint32Array(256), edge = new Uint32Array(256), drawWaits = false, names = [];
let shown = "mine"; // or "predicted", "theirs", "nothing"
let stroke = null, polygon = [], hover = null, spaceIsDown = false, grip = null;

function setColours() {
  const pack = ([red, green, blue], alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  const alpha = Math.round(255 * settings.opacity);
  for (const item of list.classes.slice(1)) {
    fill[item.id] = pack(item.colour, alpha);
    edge[item.id] = pack(item.colour, 255);
  }
  fill[VOID] = pack([224, 224, 224], alpha);
  edge[VOID] = pack([224, 224, 224], 255);
  edge[0] = pack([0, 0, 0], 160); // a dark line around each mask: seen on bright tissue too
}

function idsShown() {
  if (shown === "predicted") return frame.predicted || frame.ids;
  return shown === "theirs" ? conflict.ids : frame.ids;
}

function lineWidth() {
  return Math.max(1, Math.round(1.2 / view.scale));
}

// Colour the mask within an area (the whole frame without one). Void is striped.
function tint(area) {
  const { width, height } = frame, ids = idsShown(), reach = lineWidth();
  const whole = { left: 0, top: 0, right: width, bottom: height }, changed = area || whole;
  const left = Math.max(0, changed.left - reach), right = Math.min(width, changed.right + reach);
  const top = Math.max(0, changed.top - reach), bottom = Math.min(height, changed.bottom + reach);
  if (right <= left || bottom <= top) return;
  if (overlay.width !== width || overlay.height !== height) Object.assign(overlay, { width, height });
  const picture = overlayPaper.createImageData(right - left, bottom - top), out = new Uint32Array(picture.data.buffer);
  for (let y = top, to = 0; y < bottom; y++) {
    const up = y >= reach ? -reach * width : 0, down = y < height - reach ? reach * width : 0;
    for (let x = left, place = y * width + left; x < right; x++, place++, to++) {
      const id = ids[place];
      const inner = id === ids[place + up] && id === ids[place + down] &&
        id === ids[place - (x >= reach ? reach : 0)] && id === ids[place + (x < width - reach ? reach : 0)];
      if (!inner && settings.outline) out[to] = edge[id];
      else if (id !== VOID || (x + y) % 8 < 4) out[to] = fill[id];
    }
  }
  overlayPaper.putImageData(picture, left, top);
}

function redraw(area) {
  if (!frame) return;
  tint(area);
  if (!area) findNames();
  refresh();
}

function refresh() {
  if (drawWaits) return;
  drawWaits = true;
  requestAnimationFrame(() => { drawWaits = false; draw(); });
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  paper.setTransform(ratio, 0, 0, ratio, 0, 0);
  paper.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  if (!frame) return;
  paper.translate(view.left, view.top);
  paper.scale(view.scale, view.scale);
  paper.imageSmoothingEnabled = view.scale < 3;
  paper.drawImage(frame.picture, 0, 0, frame.width, frame.height);
  if (shown !== "nothing") {
    paper.imageSmoothingEnabled = view.scale < 1;
    paper.drawImage(overlay, 0, 0);
  }
  paper.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (shown !== "nothing" && settings.outline) drawNames();
  drawPolygon();
  drawBrush();
}

// Class names, where colours alone would have to be told apart: each in the middle of the row of its middle pixel.
function findNames() {
  const ids = idsShown(), counts = new Uint32Array(256), seen = new Uint32Array(256);
  for (let place = 0; place < ids.length; place++) counts[ids[place]]++;
  names = [];
  for (let place = 0; place < ids.length; place++) {
    const id = ids[place];
    if (!id || ++seen[id] !== (counts[id] + 1) >> 1) continue;
    const y = Math.floor(place / frame.width), columns = [];
    for (let x = 0; x < frame.width; x++) if (ids[y * frame.width + x] === id) columns.push(x);
    names.push({ text: className(id), x: columns[columns.length >> 1], y });
  }
}

function drawNames() {
  paper.font = "600 13px system-ui, sans-serif";
  paper.textAlign = "center";
  paper.lineWidth = 3;
  for (const { text, x, y } of names) {
    paper.strokeStyle = "#000";
    paper.strokeText(text, view.left + view.scale * x, view.top + view.scale * y);
    paper.fillStyle = "#fff";
    paper.fillText(text, view.left + view.scale * x, view.top + view.scale * y);
  }
}

function drawPolygon() {
  if (!polygon.length) return;
  const place = ({ x, y }) => [view.left + view.scale * x, view.top + view.scale * y];
  paper.beginPath();
  for (const point of [...polygon, ...(hover ? [toImage(hover)] : [])]) paper.lineTo(...place(point));
  for (const [colour, width] of [["#000", 4], ["#fff", 1.5]]) {
    paper.strokeStyle = colour;
    paper.lineWidth = width;
    paper.stroke();
  }
  paper.fillStyle = "#fff";
  for (const point of polygon) {
    const [x, y] = place(point);
    paper.fillRect(x - 3, y - 3, 6, 6);
  }
}

function drawBrush() {
  if (!hover || !["brush", "eraser", "void", "level"].includes(settings.tool)) return;
  for (const [colour, width] of [["#000", 3], ["#fff", 1]]) {
    paper.beginPath();
    paper.arc(hover.x, hover.y, (settings.size / 2) * view.scale, 0, 2 * Math.PI);
    paper.strokeStyle = colour;
    paper.lineWidth = width;
    paper.stroke();
  }
}

function resize() {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  if (view.fitted) fit();
  else refresh();
}

function fit() {
  if (!frame) return;
  const scale = Math.min(canvas.clientWidth / frame.width, canvas.clientHeight / frame.height);
  Object.assign(view, {
    scale, left: (canvas.clientWidth - scale * frame.width) / 2, top: (canvas.clientHeight - scale * frame.height) / 2,
    fitted: true,
  });
  redraw();
}

// Zoom so that the pixel under `at` stays where it is.
function zoom(factor, at) {
  const point = at || { x: canvas.clientWidth / 2, y: canvas.clientHeight / 2 };
  const scale = Math.min(40, Math.max(0.1, view.scale * factor)), drawn = lineWidth();
  view.left = point.x - ((point.x - view.left) * scale) / view.scale;
  view.top = point.y - ((point.y - view.top) * scale) / view.scale;
  Object.assign(view, { scale, fitted: false });
  if (lineWidth() === drawn) refresh();
  else redraw();
}

function pointOf(event) {
  const box = canvas.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

function toImage({ x, y }) {
  return { x: (x - view.left) / view.scale, y: (y - view.top) / view.scale };
}

function middleOf(points) {
  const [a, b] = points;
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
}

// What a tool makes of the pixel at a place; null if it may not paint now.
function choiceFor(event) {
  if (settings.tool === "level") {
    if (!frame.probability) return null;
    return decideBy(frame.probability, 255 * settings.level, frame.ids, isInstrument, instrumentId());
  }
  const erases = settings.tool === "eraser" || event.button === 2 || event.buttons & 32; // the other end of a pen
  const id = erases ? 0 : settings.tool === "void" ? VOID : settings.classId;
  return () => id;
}

function startStroke(event, at) {
  const choose = choiceFor(event);
  if (!choose) return say("This frame has no probabilities.");
  stroke = { before: frame.ids.slice(), last: at, choose, pointer: event.pointerId };
  continueStroke(at);
}

function continueStroke(at) {
  redraw(paintLine(frame, stroke.last, at, settings.size / 2, stroke.choose));
  stroke.last = at;
}

function cancelStroke() {
  if (stroke) frame.ids.set(stroke.before);
  stroke = null;
  polygon = [];
  redraw();
}

function dropCorner() {
  polygon.pop();
  refresh();
}

function closePolygon() {
  const points = polygon;
  polygon = [];
  if (points.length > 2) change(() => fillPolygon(frame, points, settings.classId));
  else refresh();
}

function clickPolygon(at) {
  const [first] = polygon;
  if (first && polygon.length > 2 && Math.hypot(at.x - first.x, at.y - first.y) * view.scale < 8) closePolygon();
  else polygon.push(at);
  refresh();
}

function clickComponent({ x, y }, keeps) {
  if (x < 0 || y < 0 || x >= frame.width || y >= frame.height) return;
  const place = Math.floor(y) * frame.width + Math.floor(x), id = frame.ids[place];
  if (!id) return say("Click on a part of the mask.");
  change(() => {
    const inside = componentAt(frame, place);
    frame.ids.forEach((other, at) => { if (other === id && Boolean(inside[at]) !== keeps) frame.ids[at] = 0; });
  });
}

canvas.onpointerdown = (event) => {
  event.preventDefault();
  if (!frame) return;
  canvas.setPointerCapture(event.pointerId);
  const at = (hover = pointOf(event));
  pointers.set(event.pointerId, at);
  if (event.pointerType === "touch" && pointers.size === 2) { // two fingers zoom and pan
    cancelStroke();
    grip = middleOf([...pointers.values()]);
  } else if (event.button === 1 || spaceIsDown) {
    grip = at;
  } else if (!isLocked() && pointers.size === 1) {
    if (settings.tool === "polygon") clickPolygon(toImage(at));
    else if (settings.tool === "remove") clickComponent(toImage(at), false);
    else if (settings.tool === "keep") clickComponent(toImage(at), true);
    else startStroke(event, toImage(at));
  }
};

canvas.onpointermove = (event) => {
  const at = (hover = pointOf(event));
  if (pointers.has(event.pointerId)) pointers.set(event.pointerId, at);
  if (grip && pointers.size) {
    const now = pointers.size === 2 ? middleOf([...pointers.values()]) : at;
    Object.assign(view, { left: view.left + now.x - grip.x, top: view.top + now.y - grip.y, fitted: false });
    if (now.apart && grip.apart) zoom(now.apart / grip.apart, now);
    grip = now;
  } else if (stroke && stroke.pointer === event.pointerId) {
    const parts = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const part of parts.length ? parts : [event]) continueStroke(toImage(pointOf(part)));
  }
  refresh();
};

canvas.onpointerup = canvas.onpointercancel = (event) => {
  pointers.delete(event.pointerId);
  grip = null;
  if (stroke && stroke.pointer === event.pointerId) {
    const { before } = stroke;
    stroke = null;
    settle(before);
  }
};

canvas.onpointerleave = () => { hover = null; refresh(); };
canvas.ondblclick = () => { if (settings.tool === "polygon") closePolygon(); };
canvas.oncontextmenu = (event) => event.preventDefault();
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey) zoom(Math.exp(-event.deltaY / 300), pointOf(event));
  else setSize(settings.size * (event.deltaY < 0 ? 1.15 : 1 / 1.15));
}, { passive: false });
new ResizeObserver(resize).observe(canvas);
