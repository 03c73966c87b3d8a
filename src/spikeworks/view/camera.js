// The page of a recording: what is asked for, shown and exported. The server makes every picture.

import { LINES, activity, histogram, hue, rates, raster } from "./plots.js";

const $ = id => document.getElementById(id);
const PAGE = Array.from(crypto.getRandomValues(new Uint8Array(8)), n => n.toString(16)).join("");
const RATE = 30, BATCH = 8, AHEAD = 24;  // pictures a second, in a request, and ready in front while playing
const SPEEDS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000];

let about, at = 0, shown = -1, turn = 0, look = "", overlay = "";
let asking = false, filling = false, playing = false, due = 0;
let pixel = null, data = null, pixelAsked = "", values = [];
const windows = {}, pictures = new Map(), overlays = new Map();

// ---- asking ----

class Gone extends Error {}

async function ask(name, words = {}, how = {}) {
  let answer;
  try {
    answer = await fetch(`${name}?${new URLSearchParams(words)}`, how);
  } catch {
    throw new Gone("The viewer has been stopped; start spikeworks view again.");
  }
  if (answer.status === 204) throw Object.assign(new Error("no longer wanted"), { stale: true });
  if (answer.ok) return answer;
  throw new Error((await answer.json()).error);
}

const asked = async (name, words) => (await ask(name, words)).json();

function say(error) {
  if (error && error.stale) return;
  $("said").textContent = error ? error.message || error : "";
  $("said").hidden = !error;
  clearTimeout(say.timer);
  if (error && !(error instanceof Gone)) say.timer = setTimeout(() => say(null), 8000);
}

// ---- pictures: one request at a time, always for the frame that is wanted by then ----

function lookNow() {
  const method = $("method").value;
  const words = { method, causal: +$("causal").checked, white: $("auto").checked ? "auto" : $("white").value, gamma: $("gamma").value };
  if (windows[method]) words.window = windows[method];
  return words;
}

function overlayNow() {
  return { tracks: +$("tracks").checked, flow: $("flow").value, apart: $("apart").value };
}

function changed() {
  look = JSON.stringify(lookNow());
  pictures.clear();
  shown = -1;
  turn++;
  show();
}

async function load(from, step, count) {
  const key = look, { width, height, frames } = about, pixels = width * height, size = pixels + Math.ceil(pixels / 8);
  const answer = await ask("pictures", { ...lookNow(), at: from, step, count, page: PAGE, turn });
  const body = await answer.arrayBuffer();
  if (key !== look) return;
  if ($("auto").checked) $("white").value = (+answer.headers.get("X-White")).toPrecision(3);
  for (let k = 0; k * size < body.byteLength; k++) {
    pictures.set(from + k * step, { grey: new Uint8Array(body, k * size, pixels), valid: new Uint8Array(body, k * size + pixels, size - pixels) });
  }
  const most = Math.max(AHEAD + BATCH + 2, Math.min(frames, Math.floor(1.5e8 / size)));
  for (const t of pictures.keys()) {
    if (pictures.size <= most) break;
    pictures.delete(t);
  }
}

async function loadOverlay(t) {
  const key = overlay, { tracks, flow, apart } = overlayNow();
  const [boxes, arrows] = await Promise.all([
    tracks ? asked("tracks", { at: t }) : [],
    flow !== "none" ? asked("flow", { at: t, flow, apart, page: PAGE, turn }) : [],
  ]);
  if (key !== overlay) return;
  if (overlays.size > 2000) overlays.clear();
  overlays.set(t, { boxes, arrows });
}

const bare = () => !$("tracks").checked && $("flow").value === "none";
const ready = t => pictures.has(t) && (bare() || overlays.has(t));

async function show() {
  tell();
  if (asking) return;
  asking = true;
  try {
    while (shown !== at) {
      const t = at;
      if (!pictures.has(t)) { turn++; await load(t, 1, 1); }
      if (!bare() && !overlays.has(t)) await loadOverlay(t);
      if (pictures.has(t)) draw(t);
    }
  } catch (error) {
    if (error.stale) setTimeout(show, 0);
    else { say(error); stop(); }
  } finally {
    asking = false;
  }
  askPixel();
}

function draw(t) {
  const { width, height } = about, { grey, valid } = pictures.get(t), canvas = $("picture"), pen = canvas.getContext("2d");
  const image = draw.image || (draw.image = pen.createImageData(width, height)), out = new Uint32Array(image.data.buffer);
  const mark = draw.mark, marks = $("marks").checked;
  for (let i = 0; i < out.length; i++) {
    const seen = !marks || valid[i >> 3] >> (7 - (i & 7)) & 1;
    out[i] = seen ? 0xff000000 | grey[i] * 0x010101 : mark;
  }
  pen.putImageData(image, 0, 0);
  shown = t;
  canvas.dataset.shown = t;
  drawOver();
  point();
  draw.times.push(performance.now());
}
draw.times = [];

function drawOver() {
  const canvas = $("over"), { width, height } = about, scale = window.devicePixelRatio || 1;
  const [wide, high] = [$("picture").clientWidth, $("picture").clientHeight];
  [canvas.width, canvas.height] = [Math.round(wide * scale), Math.round(high * scale)];
  const pen = canvas.getContext("2d"), zoom = wide / width;
  pen.scale(scale, scale);
  const { boxes, arrows } = (!bare() && overlays.get(shown)) || { boxes: [], arrows: [] }, longer = +$("longer").value || 1;
  for (const [x, y, right, down] of arrows) {
    if (Math.hypot(right, down) * longer < 1) continue;
    const tint = `hsl(${(Math.atan2(down, right) * 180 / Math.PI + 360) % 360}, 90%, 62%)`, turned = Math.atan2(down, right);
    const [x1, y1] = [(x + right * longer) * zoom, (y + down * longer) * zoom];
    pen.beginPath(); pen.moveTo(x * zoom, y * zoom); pen.lineTo(x1, y1);
    pen.strokeStyle = "rgba(0, 0, 0, .55)"; pen.lineWidth = 3; pen.stroke();
    pen.strokeStyle = pen.fillStyle = tint; pen.lineWidth = 1.3; pen.stroke();
    pen.beginPath(); pen.moveTo(x1, y1);
    for (const side of [2.7, -2.7]) pen.lineTo(x1 + 5 * Math.cos(turned + side), y1 + 5 * Math.sin(turned + side));
    pen.fill();
  }
  pen.font = '600 11px system-ui, "DejaVu Sans", sans-serif';
  for (const { id, box, trail, colour } of boxes) {
    const [x, y, w, h] = box.map(side => side * zoom);
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 2; pen.strokeRect(x, y, w, h);
    pen.lineWidth = 1.4; pen.beginPath();
    for (const [cx, cy] of trail) pen.lineTo(cx * zoom, cy * zoom);
    pen.stroke();
    const label = String(id), room = pen.measureText(label).width + 8, top = y > 16 ? y - 15 : y;
    pen.fillRect(x - 1, top, room, 15);
    pen.fillStyle = "#000"; pen.fillText(label, x + 3, top + 11.5);
  }
  if (pixel) {
    const [x, y] = [(pixel.x + 0.5) * zoom, (pixel.y + 0.5) * zoom], gap = Math.max(4, zoom);
    for (const [tint, thick] of [["rgba(0,0,0,.7)", 3], ["#ffb000", 1.4]]) {
      pen.strokeStyle = tint; pen.lineWidth = thick; pen.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        pen.moveTo(x + dx * gap, y + dy * gap); pen.lineTo(x + dx * (gap + 9), y + dy * (gap + 9));
      }
      pen.stroke();
    }
  }
}

// ---- time ----

function seek(t) {
  at = Math.min(Math.max(Math.round(t) || 0, 0), about.frames - 1);
  show();
}

function tell() {
  const t = about.first + at;
  $("at").value = at;
  $("at").setAttribute("aria-valuetext", `frame ${at} of ${about.frames}`);
  if (document.activeElement !== $("frame")) $("frame").value = at;
  $("time").textContent = `${(t / about.rate * 1e3).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} ms`;
}

const stride = () => Math.max(1, Math.round($("speed").value / RATE));

async function fill() {
  if (filling) return;
  filling = true;
  try {
    while (playing) {
      const step = stride();
      let from = at + step;
      for (let k = 0; k < AHEAD && ready(from); k++) from += step;
      if (from >= about.frames || from > at + AHEAD * step) break;
      if (!pictures.has(from)) await load(from, step, Math.min(BATCH, Math.floor((about.frames - 1 - from) / step) + 1));
      else await loadOverlay(from);
    }
  } catch (error) {
    if (!error.stale) { say(error); stop(); }
  } finally {
    filling = false;
  }
}

function tick(now) {
  if (!playing) return;
  requestAnimationFrame(tick);
  fill();
  if (now < due - 4) return;
  const next = at + stride();
  if (next >= about.frames) {
    if (!$("loop").checked) return stop();
    at = 0;
    return show();
  }
  if (!ready(next)) return;  // it goes on when it is there
  due = Math.max(due + 1e3 * stride() / $("speed").value, now - 50);
  at = next;
  tell();
  draw(at);
  askPixel();
}

function start() {
  if (at >= about.frames - stride()) seek(0);
  playing = true;
  due = performance.now();
  pressed();
  requestAnimationFrame(tick);
}

function stop() {
  playing = false;
  pressed();
  askPixel();
}

function pressed() {
  $("play").setAttribute("aria-pressed", playing);
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
}

setInterval(() => {
  const recent = draw.times.filter(t => t > performance.now() - 1000);
  draw.times = recent;
  $("shown").textContent = recent.length > 1 ? `${recent.length} pictures/s` : "";
}, 500);

// ---- one pixel ----

async function askPixel() {
  if (!pixel || askPixel.busy || asking) return;
  const words = { ...lookNow(), x: pixel.x, y: pixel.y, at, span: $("span").value || 200 }, key = JSON.stringify(words);
  if (key === pixelAsked) return;
  askPixel.busy = true;
  try {
    data = await asked("pixel", words);
    pixelAsked = key;
    plotPixel();
  } catch (error) {
    say(error);
    pixelAsked = key;
  } finally {
    setTimeout(() => { askPixel.busy = false; askPixel(); }, playing ? 200 : 0);
  }
}

function plotPixel() {
  if (!pixel || !data) return;
  const names = about.methods.map(m => m.name), chosen = $("method").value;
  const order = [chosen, ...names.filter(n => n !== chosen && data.rates[n])].slice(0, LINES.length);
  $("plots").hidden = false;
  $("pixelhint").hidden = true;
  $("pixelname").textContent = `Pixel (${data.x}, ${data.y})`;
  $("legend").replaceChildren(...order.map((name, k) => {
    const item = document.createElement("span");
    item.textContent = name;
    item.style.setProperty("--tint", `var(${LINES[k]})`);
    return item;
  }));
  raster($("raster"), data, at);
  rates($("rates"), data, at, order);
  histogram($("histogram"), data);
  const spikes = data.spikes.length, frames = data.stop - data.start, many = data.intervals.reduce((n, [, c]) => n + c, 0);
  const mean = data.intervals.reduce((n, [i, c]) => n + i * c, 0) / many;
  const spread = Math.sqrt(data.intervals.reduce((n, [i, c]) => n + c * (i - mean) ** 2, 0) / many);
  const rows = [
    ["spikes", `${spikes} in ${frames.toLocaleString("en")} frames`],
    ["mean rate", `${(spikes / frames).toPrecision(3)} /frame · ${(spikes / frames * about.rate / 1e3).toPrecision(3)} kHz`],
    ["interval", many ? `${mean.toFixed(2)} ± ${spread.toFixed(2)} frames` : "–"],
  ];
  $("numbers").replaceChildren(...rows.flatMap(([name, value]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    [dt.textContent, dd.textContent] = [name, value];
    return [dt, dd];
  }));
}

function choose(x, y) {
  pixel = x === null ? null : { x: Math.min(Math.max(x, 0), about.width - 1), y: Math.min(Math.max(y, 0), about.height - 1) };
  if (!pixel) {
    $("plots").hidden = true;
    $("pixelhint").hidden = false;
    $("pixelname").textContent = "Pixel";
    pixelAsked = "";
  }
  drawOver();
  askPixel();
}

function place(event) {
  const box = $("picture").getBoundingClientRect();
  return [Math.floor((event.clientX - box.left) / box.width * about.width), Math.floor((event.clientY - box.top) / box.height * about.height)];
}

// What is under the pointer.
function point(event) {
  if (event) point.at = event.type === "pointerleave" ? null : place(event);
  const picture = pictures.get(shown);
  if (!point.at || !picture) return void ($("under").textContent = "");
  const [x, y] = point.at, i = y * about.width + x;
  if (x < 0 || y < 0 || x >= about.width || y >= about.height) return;
  const told = picture.valid[i >> 3] >> (7 - (i & 7)) & 1;
  const light = +$("white").value * (picture.grey[i] / 255) ** +$("gamma").value;
  const value = !told ? "cannot be told" : `${picture.grey[i] === 255 ? "≥ " : ""}${light.toFixed(3)} /frame`;
  $("under").textContent = `(${x}, ${y})  ${value}`;
}

// ---- the page ----

function resize() {
  const { width, height } = about, stage = $("stage"), room = Math.min((stage.clientWidth - 12) / width, (stage.clientHeight - 12) / height);
  const whole = Math.floor(room), fit = whole >= 1 && whole / room >= 0.8 ? whole : Math.max(room, 0.1);
  const zoom = +$("zoom").value || fit;
  $("picture").style.width = `${width * zoom}px`;
  $("picture").style.height = `${height * zoom}px`;
  if (shown >= 0) drawOver();
  plotActivity();
  plotPixel();
}

const clip = () => [+$("start").value, Math.max(+$("start").value, +$("stop").value)];

function plotActivity() {
  activity($("activity"), values, about.bins, about.frames, clip());
  const [from, to] = clip(), many = Math.ceil((to - from) / Math.max(1, +$("step").value)), rate = +$("fps").value || 30;
  $("clipsaid").textContent = `${many.toLocaleString("en")} pictures, ${(many / rate).toFixed(1)} s`;
}

async function count() {
  try {
    while (values.length < about.bins) {
      values = values.concat(await asked("activity", { first: values.length }));
      plotActivity();
    }
  } catch (error) {
    say(error);
  }
}

async function save(button, name, words) {
  const { tracks, flow, apart } = overlayNow(), over = $("withoverlays").checked ? { tracks, flow, apart, longer: $("longer").value } : {};
  const said = button.textContent;
  button.disabled = true;
  button.textContent = "…";
  try {
    const answer = await ask(name, { ...lookNow(), ...over, scale: $("scale").value, ...words }, { method: "POST" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = /filename="(.+)"/.exec(answer.headers.get("Content-Disposition"))[1];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch (error) {
    say(error);
  } finally {
    button.disabled = false;
    button.textContent = said;
  }
}

const saveClip = (button, kind) => save(button, "clip", {
  kind, start: $("start").value, stop: $("stop").value, step: $("step").value,
  fps: kind === "gif" ? Math.min(50, $("fps").value) : $("fps").value,
});

// The window: each method has its own; the slider goes by ratios.
const toSlide = n => Math.round(100 * Math.log(n) / Math.log(2000));
const fromSlide = p => Math.round(2000 ** (p / 100));

function setWindow(n) {
  const method = $("method").value;
  if (!(n >= 1 && n <= 65535) || !windows[method]) return;
  windows[method] = Math.round(n);
  $("window").value = windows[method];
  $("windowslide").value = toSlide(windows[method]);
  changed();
}

function setMethod() {
  const method = about.methods.find(m => m.name === $("method").value), own = windows[method.name];
  $("method").title = method.title;
  $("window").disabled = $("windowslide").disabled = !own;
  $("window").value = own || "";
  $("windowslide").value = own ? toSlide(own) : 0;
  $("causal").disabled = !method.causal;
  changed();
}

function overlaysChanged() {
  overlay = JSON.stringify(overlayNow());
  overlays.clear();
  $("flowmore").hidden = $("flow").value === "none";
  $("apart").parentElement.hidden = $("flow").value !== "dis";
  shown = -1;
  show();
}

function flip(id) {
  if ($(id).disabled) return;
  $(id).checked = !$(id).checked;
  $(id).dispatchEvent(new Event("change"));
}

function turnTo(id, by) {
  const list = $(id);
  list.selectedIndex = Math.min(Math.max(list.selectedIndex + by, 0), list.options.length - 1);
  list.dispatchEvent(new Event("change"));
}

function next(id) {
  const list = $(id);
  list.selectedIndex = (list.selectedIndex + 1) % list.options.length;
  list.dispatchEvent(new Event("change"));
}

const here = (id, t) => { $(id).value = t; plotActivity(); };

const KEYS = {
  " ": () => playing ? stop() : start(),
  Home: () => seek(0), End: () => seek(about.frames - 1),
  ArrowUp: () => turnTo("speed", 1), ArrowDown: () => turnTo("speed", -1),
  m: () => next("method"), c: () => flip("causal"), v: () => flip("marks"), t: () => flip("tracks"), f: () => next("flow"),
  ",": () => setWindow(Math.max(1, Math.floor(windows[$("method").value] / 1.2))),
  ".": () => setWindow(Math.ceil(windows[$("method").value] * 1.2)),
  "+": () => turnTo("zoom", 1), "-": () => turnTo("zoom", -1), 0: () => { $("zoom").value = 0; resize(); },
  s: () => $("saveframe").click(), "[": () => here("start", at), "]": () => here("stop", at + 1), Escape: () => choose(null), "?": () => $("help").showModal(),
};

function key(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && !/^(checkbox|range)$/.test(event.target.type);
  if (typing || $("help").open || event.metaKey) return;
  const side = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.altKey) {
    if (!side) return;
    const from = pixel || { x: about.width >> 1, y: about.height >> 1 };
    choose(from.x + side[0], from.y + side[1]);
  } else if (event.target.type === "range" && event.target.id !== "at" && (side || event.key in { Home: 1, End: 1 })) {
    return;
  } else if (side && side[0]) {
    stop();
    seek(at + side[0] * (event.shiftKey ? 10 : event.ctrlKey ? 100 : 1));
  } else if (KEYS[event.key] && !event.ctrlKey && !(event.key === " " && /^(BUTTON|INPUT)$/.test(event.target.tagName) && event.target.id !== "at")) {
    KEYS[event.key]();
  } else {
    return;
  }
  event.preventDefault();
}

function option(list, value, text) {
  const made = document.createElement("option");
  [made.value, made.textContent] = [value, text];
  $(list).append(made);
}

function on(id, kind, what) { $(id).addEventListener(kind, what); }

async function begin() {
  about = await asked("about");
  const { name, width, height, frames, rate } = about;
  document.title = `${name} · spikeworks`;
  $("name").textContent = name;
  const lasts = frames / rate;
  $("facts").textContent = `${width} × ${height} · ${frames.toLocaleString("en")} frames · ${(rate / 1e3).toLocaleString("en")} kHz · ${lasts < 1 ? `${(lasts * 1e3).toFixed(1)} ms` : `${lasts.toFixed(2)} s`}`;
  [$("picture").width, $("picture").height] = [width, height];
  for (const method of about.methods) {
    option("method", method.name, method.name.toUpperCase());
    if (method.window) windows[method.name] = method.window;
  }
  for (const speed of SPEEDS.filter(s => s < rate).concat(rate)) option("speed", speed, speed === rate ? "real time" : `${speed.toLocaleString("en")} frames/s`);
  $("speed").value = Math.min(rate, frames > 2000 ? 1000 : 30);
  if (about.flow) option("flow", "file", "from the file");
  if (about.dis) option("flow", "dis", "DIS (OpenCV)");
  $("tracks").disabled = !about.tracks;
  $("tracks").checked = about.tracks > 0;
  $("trackshint").textContent = about.tracks ? ` ${about.tracks}` : " (--tracks)";
  for (const id of ["at", "frame", "start"]) $(id).max = frames - 1;
  $("stop").max = frames;
  [$("start").value, $("stop").value] = [0, frames];
  $("step").value = Math.max(1, Math.ceil(frames / 300));

  on("method", "change", setMethod);
  on("window", "change", () => setWindow(+$("window").value));
  on("windowslide", "input", () => setWindow(fromSlide($("windowslide").value)));
  on("causal", "change", changed);
  on("auto", "change", () => { $("white").disabled = $("auto").checked; changed(); });
  on("white", "change", () => $("white").value > 0 && changed());
  on("gamma", "input", () => { $("gammasaid").textContent = (+$("gamma").value).toFixed(1); changed(); });
  on("marks", "change", () => shown >= 0 && draw(shown));
  on("zoom", "change", resize);
  for (const id of ["tracks", "flow", "apart"]) on(id, "change", overlaysChanged);
  on("longer", "change", drawOver);
  for (const id of ["start", "stop", "step", "fps"]) on(id, "input", plotActivity);
  on("saveframe", "click", () => save($("saveframe"), "frame", { at }));
  on("savemp4", "click", () => saveClip($("savemp4"), "mp4"));
  on("savegif", "click", () => saveClip($("savegif"), "gif"));
  on("controls", "submit", event => event.preventDefault());
  $("of").textContent = `of ${frames.toLocaleString("en")}`;
  on("keys", "click", () => $("help").showModal());
  on("play", "click", KEYS[" "]);
  for (const [id, to] of [["first", () => 0], ["back", () => at - 1], ["next", () => at + 1], ["last", () => frames - 1]]) on(id, "click", () => { stop(); seek(to()); });
  on("at", "input", () => { stop(); seek(+$("at").value); });
  on("frame", "change", () => { stop(); seek(+$("frame").value); });
  on("span", "change", askPixel);
  on("sheet", "click", event => choose(...place(event)));
  on("sheet", "pointermove", point);
  on("sheet", "pointerleave", point);
  document.addEventListener("keydown", key);
  new ResizeObserver(resize).observe($("stage"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", colours);
  colours();
  setMethod();
  overlaysChanged();
  count();
}

function colours() {
  const [r, g, b] = hue("--invalid").match(/\w\w/g).map(part => parseInt(part, 16));
  draw.mark = (0xff000000 | b << 16 | g << 8 | r) >>> 0;
  if (shown >= 0) draw(shown);
  resize();
}

begin().catch(say);
