"use strict";
// Masks: `ids` holds one class id a pixel, row by row, 255 void. Lengths are in pixels of the frame; the centre of
// pixel (x, y) lies at (x + 0.5, y + 0.5).

const VOID = 255;
const MOST_BYTES_OF_HISTORY = 1e8; // of one frame

// Set the pixels whose centre is at most `radius` away from the line from `a` to `b`, to `choose(place)`.
function paintLine(mask, a, b, radius, choose) {
  const { ids, width, height } = mask;
  const dx = b.x - a.x, dy = b.y - a.y, squared = dx * dx + dy * dy;
  const area = {
    left: Math.max(0, Math.floor(Math.min(a.x, b.x) - radius)),
    top: Math.max(0, Math.floor(Math.min(a.y, b.y) - radius)),
    right: Math.min(width, Math.ceil(Math.max(a.x, b.x) + radius)),
    bottom: Math.min(height, Math.ceil(Math.max(a.y, b.y) + radius)),
  };
  for (let y = area.top; y < area.bottom; y++) {
    for (let x = area.left; x < area.right; x++) {
      const px = x + 0.5 - a.x, py = y + 0.5 - a.y;
      const along = squared ? Math.min(1, Math.max(0, (px * dx + py * dy) / squared)) : 0;
      if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= radius * radius) {
        ids[y * width + x] = choose(y * width + x);
      }
    }
  }
  return area;
}

// Set the pixels whose centre lies inside the polygon (even-odd rule).
function fillPolygon(mask, points, id) {
  const { ids, width, height } = mask;
  for (let y = 0; y < height; y++) {
    const crossings = [];
    points.forEach((a, number) => {
      const b = points[(number + 1) % points.length];
      if (a.y <= y + 0.5 !== b.y <= y + 0.5) crossings.push(a.x + ((y + 0.5 - a.y) * (b.x - a.x)) / (b.y - a.y));
    });
    crossings.sort((a, b) => a - b);
    for (let pair = 0; pair < crossings.length; pair += 2) {
      const first = Math.max(0, Math.ceil(crossings[pair] - 0.5));
      const last = Math.min(width, Math.ceil(crossings[pair + 1] - 0.5));
      if (first < last) ids.fill(id, y * width + first, y * width + last);
    }
  }
}

// 1 for the pixels of the class at `start` that hang together with it (8 neighbours), else 0.
function componentAt(mask, start) {
  const { ids, width, height } = mask, inside = new Uint8Array(ids.length), waiting = [start];
  inside[start] = 1;
  while (waiting.length) {
    const place = waiting.pop(), x = place % width, y = (place - x) / width;
    for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
      for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) {
        const next = row * width + column;
        if (!inside[next] && ids[next] === ids[start]) {
          inside[next] = 1;
          waiting.push(next);
        }
      }
    }
  }
  return inside;
}

// The id at a place once the model's probability of an instrument has decided at `level` (in 255ths). An instrument
// keeps its class, void stays.
function decideBy(probability, level, ids, isInstrument, newId) {
  return (place) => {
    if (ids[place] === VOID) return VOID;
    if (probability[place] < level) return isInstrument[ids[place]] ? 0 : ids[place];
    return isInstrument[ids[place]] ? ids[place] : newId;
  };
}

function sameIds(a, b) {
  for (let place = 0; place < a.length; place++) if (a[place] !== b[place]) return false;
  return true;
}

// Remember the step from `before` to the ids of now: the part that differs. False if none does.
function remember(frame, before) {
  const { ids } = frame;
  let first = 0, last = ids.length;
  while (first < last && before[first] === ids[first]) first++;
  while (last > first && before[last - 1] === ids[last - 1]) last--;
  if (first === last) return false;
  frame.undo.push({ first, before: before.slice(first, last), after: ids.slice(first, last) });
  frame.redo = [];
  let bytes = frame.undo.reduce((sum, step) => sum + 2 * step.before.length, 0);
  while (bytes > MOST_BYTES_OF_HISTORY && frame.undo.length > 1) bytes -= 2 * frame.undo.shift().before.length;
  return true;
}

function stepBack(frame) {
  const step = frame.undo.pop();
  if (!step) return false;
  frame.ids.set(step.before, step.first);
  frame.redo.push(step);
  return true;
}

function stepForward(frame) {
  const step = frame.redo.pop();
  if (!step) return false;
  frame.ids.set(step.after, step.first);
  frame.undo.push(step);
  return true;
}
