// Curves on canvases, sharp on any screen, in the colours of the page.

const TEXT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
export const LINES = ["--accent", "--second", "--third", "--fourth"];
export const hue = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The canvas in CSS pixels, cleared.
function paper(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, scale = window.devicePixelRatio || 1;
  const wide = Math.round(width * scale), high = Math.round(height * scale);
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = TEXT;
  pen.lineWidth = 1;
  return { pen, width, height };
}

// Round numbers from low to high, about as many as asked for.
export function ticks(low, high, about) {
  const rough = (high - low) / Math.max(1, about), power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough * 0.999) || power;
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(+(n * step).toPrecision(12));
  return found;
}

function below(pen, x, text, height, width) {
  const half = pen.measureText(text).width / 2;
  pen.fillText(text, Math.min(Math.max(x - half, 0), width - 2 * half), height - 2);
}

function beside(pen, values, place, width) {
  for (const value of values) {
    const y = Math.round(place(value)) + 0.5;
    pen.strokeStyle = hue("--rule");
    pen.beginPath(); pen.moveTo(LEFT, y); pen.lineTo(width, y); pen.stroke();
    pen.fillStyle = hue("--muted");
    pen.textAlign = "right"; pen.textBaseline = "middle";
    pen.fillText(String(value), LEFT - 5, y);
    pen.textAlign = "left"; pen.textBaseline = "alphabetic";
  }
}

const LEFT = 32, UNDER = 16;
const across = (data, width) => t => LEFT + (t - data.start + 0.5) / (data.stop - data.start) * (width - LEFT - 1);

function now(pen, x, height) {
  pen.strokeStyle = hue("--second");
  pen.setLineDash([3, 3]);
  pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, height); pen.stroke();
  pen.setLineDash([]);
}

// A line for every spike.
export function raster(canvas, data, at) {
  const { pen, width, height } = paper(canvas), place = across(data, width), high = height - UNDER;
  pen.fillStyle = hue("--ground");
  pen.fillRect(LEFT, 0, width - LEFT, high);
  pen.fillStyle = hue("--ink");
  const thick = Math.max(0.6, Math.min(2, (width - LEFT) / (data.stop - data.start) * 0.6));
  for (const t of data.spikes) pen.fillRect(place(t) - thick / 2, 3, thick, high - 6);
  now(pen, place(at), high);
  pen.fillStyle = hue("--muted");
  for (const t of ticks(data.start, data.stop - 1, 4)) below(pen, place(t), t.toLocaleString("en"), height, width);
}

// What each method tells of the light, with gaps where it cannot tell.
export function rates(canvas, data, at, names) {
  const { pen, width, height } = paper(canvas), place = across(data, width), high = height - UNDER;
  const known = names.flatMap(name => data.rates[name] || []).filter(v => v !== null);
  const top = Math.max(1e-3, ...known) * 1.06, level = v => high - v / top * (high - 6);
  beside(pen, ticks(0, top, 4), level, width);
  names.forEach((name, k) => {
    pen.strokeStyle = hue(LINES[k % LINES.length]);
    pen.lineWidth = 1.4;
    pen.beginPath();
    let drawn = false;
    (data.rates[name] || []).forEach((value, i) => {
      if (value !== null) pen[drawn ? "lineTo" : "moveTo"](place(data.points[i]), level(value));
      drawn = value !== null;
    });
    pen.stroke();
  });
  pen.lineWidth = 1;
  now(pen, place(at), high);
  pen.fillStyle = hue("--muted");
  for (const t of ticks(data.start, data.stop - 1, 4)) below(pen, place(t), t.toLocaleString("en"), height, width);
}

// How often each interval is there; long tails are put together in bars of several frames.
export function histogram(canvas, data) {
  const { pen, width, height } = paper(canvas), high = height - UNDER, list = data.intervals;
  pen.fillStyle = hue("--muted");
  if (!list.length) return pen.fillText("fewer than two spikes", LEFT, high / 2);
  const first = Math.max(0, list[0][0] - 1), last = list[list.length - 1][0] + 1;
  const each = Math.max(1, Math.ceil((last - first + 1) / 80)), bars = new Map();
  for (const [interval, count] of list) {
    const bar = Math.floor((interval - first) / each);
    bars.set(bar, (bars.get(bar) || 0) + count);
  }
  const many = Math.floor((last - first) / each) + 1, top = Math.max(...bars.values());
  const level = n => high - n / (top * 1.06) * (high - 4), wide = (width - LEFT) / many;
  beside(pen, ticks(0, top, 3).filter(Number.isInteger), level, width);
  pen.fillStyle = hue("--accent");
  const gap = wide > 3 ? 1 : 0, fat = Math.min(wide - gap, 26);
  for (const [bar, count] of bars) pen.fillRect(LEFT + (bar + 0.5) * wide - fat / 2, level(count), fat, high - level(count));
  pen.fillStyle = hue("--muted");
  for (const n of ticks(first, last, Math.min(6, last - first)).filter(Number.isInteger))
    below(pen, LEFT + ((n - first) / each + 0.5) * wide, String(n), height, width);
}

// The mean rate over the whole recording, as far as it is known, and the stretch of the clip.
export function activity(canvas, values, bins, frames, clip) {
  const { pen, width, height } = paper(canvas), high = height - UNDER;
  pen.fillStyle = hue("--ground");
  pen.fillRect(0, 0, width, high);
  if (clip[0] > 0 || clip[1] < frames) {
    pen.fillStyle = hue("--shade");
    pen.fillRect(clip[0] / frames * width, 0, (clip[1] - clip[0]) / frames * width, high);
  }
  if (values.length) {
    const [low, top] = bounds(values);
    const level = v => high - 4 - (v - low) / (top - low) * (high - 10);
    pen.beginPath();
    pen.moveTo(0, high);
    values.forEach((v, k) => {
      pen.lineTo(k / bins * width, level(v));
      pen.lineTo((k + 1) / bins * width, level(v));
    });
    pen.lineTo(values.length / bins * width, high);
    pen.fillStyle = hue("--accent");
    pen.globalAlpha = 0.28;
    pen.fill();
    pen.globalAlpha = 1;
    pen.fillStyle = hue("--muted");
    pen.fillText(top.toPrecision(3) + " spikes/frame", 4, 11);
    pen.fillText(low.toPrecision(3), 4, high - 3);
  }
  pen.fillStyle = hue("--muted");
  for (const t of ticks(0, frames - 1, Math.min(frames, width / 90)).filter(Number.isInteger)) {
    const x = 1 + t / Math.max(1, frames - 1) * (width - 2);  // where the slider's line stands
    pen.fillRect(Math.round(x), high, 1, 3);
    below(pen, x, t.toLocaleString("en"), height, width);
  }
}

function bounds(values) {
  let low = Infinity, top = -Infinity;
  for (const v of values) { low = Math.min(low, v); top = Math.max(top, v); }
  const room = Math.max((top - low) * 0.1, top * 0.02, 1e-6);
  return [Math.max(0, low - room), top + room];
}
