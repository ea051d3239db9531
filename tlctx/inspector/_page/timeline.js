// The last minute: a lane for each thread, a bar for each request.

import { byId, element, keepChildren, setClass, setHidden, setText, setTitle } from "./dom.js";
import { ago, clip, duration, level, levelText, nameOf, plural } from "./formats.js";

const SPAN = 60;
const narrow = matchMedia("(max-width: 40rem)");
const mostLanes = () => (narrow.matches ? 12 : 24);
const MOST_ROWS = 12;
const REMEMBERED = 2 * SPAN; // so long an idle thread keeps its lane, and the lanes their places
const still = matchMedia("(prefers-reduced-motion: reduce)");

const groups = new Map();
const seen = new Map(); // lanes by key: when each was last in use, by the server's clock
let all = false;
let last = null;
let openRequest = () => {};

export function startTimeline(open) {
  openRequest = open;
}

export function showTimeline(view) {
  last = view;
  const lanes = chooseLanes(lanesOf(view));
  const byProcess = group(lanes.shown);
  const items = [...byProcess].map(([process, members]) => ({ process, members }));
  const root = byId("lanes");
  setHidden(byId("axis"), !items.length);
  if (!items.length) items.push({ process: "", members: [], empty: true });
  if (lanes.left || all) items.push({ process: "more", more: lanes.left });
  keepChildren(root, items, groups, (item) => `${item.empty ? "empty" : item.process}`, makeGroup, (made, item) => updateGroup(made, item, view));
}

function group(lanes) {
  const found = new Map();
  for (const lane of lanes) found.set(lane.process, [...(found.get(lane.process) ?? []), lane]);
  return found;
}

/** Stop the bars where they are. */
export function stopTimeline() {
  for (const animation of byId("lanes").getAnimations({ subtree: true })) animation.pause();
}

function lanesOf(view) {
  const lanes = new Map();
  const laneOf = (request) => {
    const key = JSON.stringify([request.process, request.thread?.id ?? null]);
    let lane = lanes.get(key);
    if (!lane) {
      lane = { key, process: request.process, name: request.thread?.name || "no thread", bars: [], oldest: 0, running: 0 };
      lanes.set(key, lane);
      seen.set(key, { taken: view.taken, lane });
    }
    return lane;
  };
  for (const request of view.recent) {
    const end = request.began + request.duration;
    if (end > view.taken - SPAN) laneOf(request).bars.push({ request, from: request.began, to: end });
  }
  for (const request of view.open) {
    const lane = laneOf(request);
    lane.name = request.thread?.name || lane.name;
    lane.bars.push({ request, from: view.taken - request.age, to: Infinity });
    lane.oldest = Math.max(lane.oldest, request.age);
    lane.running += 1;
  }
  const alive = new Set(view.processes.map((process) => process.id));
  for (const [key, { taken, lane }] of seen) {
    if (taken < view.taken - REMEMBERED || !alive.has(lane.process)) seen.delete(key);
    else if (!lanes.has(key)) lanes.set(key, { ...lane, bars: [], oldest: 0, running: 0 });
  }
  return [...lanes.values()];
}

/** Those that are shown: the ones that serve the oldest requests first, then in an order that doesn't change. */
function chooseLanes(lanes) {
  let shown = lanes;
  if (!all && lanes.length > mostLanes()) {
    shown = lanes.toSorted((one, other) => other.oldest - one.oldest || other.bars.length - one.bars.length).slice(0, mostLanes());
  }
  const order = new Map(last.processes.map((process, place) => [process.id, place]));
  const place = (lane) => order.get(lane.process) ?? order.size;
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  shown = shown.toSorted((one, other) => place(one) - place(other) || compare(one.name, other.name) || compare(one.key, other.key));
  return { shown, left: lanes.length - shown.length };
}

function makeGroup(item) {
  if (item.empty) return element("p", "empty", "No thread has served a request in the last minute.");
  if (item.process === "more") {
    const button = element("button", "more");
    button.type = "button";
    button.addEventListener("click", () => {
      all = !all;
      showTimeline(last);
    });
    return button;
  }
  const made = element("div", "lane-group", element("h3"), element("ol", "lanes"));
  made.lanes = new Map();
  return made;
}

function updateGroup(made, item, view) {
  if (item.empty) return;
  if (item.process === "more") {
    setText(made, all ? "Show fewer threads" : `Show ${plural(item.more, "more thread")}`);
    return;
  }
  const [title, list] = made.children;
  title.hidden = view.processes.length < 2;
  const process = view.byId.get(item.process);
  setText(title, view.hosts > 1 && process ? `${process.host}, process ${process.pid}` : `Process ${process?.pid ?? item.process}`);
  keepChildren(list, item.members, made.lanes, (lane) => lane.key, makeLane, (child, lane) => updateLane(child, lane, view));
}

function makeLane() {
  const layer = element("span", "layer");
  const track = element("span", "track", layer);
  track.setAttribute("aria-hidden", "true"); // what it says is in words beside it, and in the tables
  const made = element("li", "lane", element("span", "lane-name"), track, element("span", "unseen"));
  made.bars = new Map();
  layer.addEventListener("click", (event) => {
    const id = event.target.request;
    if (id) openRequest(id);
  });
  return made;
}

function updateLane(made, lane, view) {
  const [name, track, words] = made.children;
  setText(name, clip(lane.name, 60));
  setTitle(name, lane.name);
  setText(words, laneText(lane));
  const rows = pack(lane.bars);
  const height = rows === 1 ? 14 : Math.max(5, Math.min(9, Math.floor(72 / rows)));
  track.style.height = `${rows === 1 ? 20 : rows * (height + 1) + 6}px`;
  const [layer] = track.children;
  keepChildren(layer, lane.bars, made.bars, (bar) => `${bar.request.id} ${bar.to === Infinity}`, () => element("span"), (child, bar) => {
    updateBar(child, bar, view.taken, height);
  });
  slide(layer);
}

/** Give each bar a row in which it overlaps no other: several requests of one thread can be open at once. */
function pack(bars) {
  const ends = [];
  for (const bar of bars.sort((one, other) => one.from - other.from)) {
    let row = ends.findIndex((end) => end <= bar.from + 0.001);
    if (row < 0) row = ends.length < MOST_ROWS ? ends.length : MOST_ROWS - 1;
    ends[row] = bar.to;
    bar.row = row;
  }
  return Math.max(1, ends.length);
}

function updateBar(child, bar, taken, height) {
  const { request } = bar;
  const running = bar.to === Infinity;
  const place = (when) => 100 * (1 - (taken - when) / SPAN);
  const left = Math.max(-1, running ? Math.min(place(bar.from), 99.3) : place(bar.from)); // what has just begun can be seen too
  child.style.left = `${left}%`;
  child.style.width = `${(running ? 120 : Math.min(place(bar.to), 100)) - left}%`; // it runs on past the right edge
  child.style.top = `${3 + bar.row * (height + 1)}px`;
  child.style.height = `${height}px`;
  if (running) {
    setClass(child, `bar running ${level(request.age)}${request.state === "waiting" ? " waiting" : ""}`);
    setTitle(child, `${nameOf(request)}, ${request.state} for ${duration(request.age)}`);
    child.request = request.id;
  } else {
    setClass(child, `bar ${request.error ? "failed" : "finished"}`);
    setTitle(child, `${nameOf(request)} took ${duration(request.duration)}${request.error ? ` and failed: ${request.error}` : ""}, ended ${ago(taken - bar.to)}`);
  }
}

/** Let time pass until the next refresh: the bars go left, and those that run grow. */
function slide(layer) {
  for (const animation of layer.getAnimations()) animation.cancel();
  if (still.matches || !layer.children.length) return;
  layer.animate([{ transform: "none" }, { transform: "translateX(-16.667%)" }], { duration: (SPAN / 6) * 1000, fill: "forwards" });
}

function laneText(lane) {
  const running = lane.bars.filter((bar) => bar.to === Infinity);
  const failed = lane.bars.filter((bar) => bar.request.error).length;
  const words = running.slice(0, 3).map(({ request }) => {
    const tag = levelText[level(request.age)];
    return `${clip(nameOf(request), 120)}, ${request.state} for ${duration(request.age)}${tag ? `, ${tag}` : ""}`;
  });
  if (running.length > 3) words.push(`${running.length - 3} more in flight`);
  if (!running.length) words.push("idle");
  const finished = lane.bars.length - running.length;
  if (finished) words.push(`${finished} finished in the last minute${failed ? `, ${failed} of them failed` : ""}`);
  return `: ${words.join("; ")}.`;
}
