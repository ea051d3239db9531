// What has finished: the slowest and the failed, durations by route, and the processes.

import { byId, element, keepChildren, setClass, setHidden, setText, setTitle, visible } from "./dom.js";
import { ago, bound, clip, count, duration, level, levelText, nameOf, plural } from "./formats.js";

const MOST_ROUTES = 15;
const kept = { slowest: new Map(), failed: new Map(), routes: new Map(), processes: new Map() };
let all = false;
let last = null;

export function startFinished() {
  byId("routes-more").addEventListener("click", () => {
    all = !all;
    showFinished(last);
  });
}

export function showFinished(view) {
  last = view;
  showRequests("slowest", view.slowest, view);
  showRequests("failed", view.failed.toSorted((one, other) => endOf(other) - endOf(one)), view);
  showBounds(view.bounds);
  showRoutes(view);
  showTable("processes", view.processes, (process) => process.id, makeProcess, (row, process) => updateProcess(row, process, view));
}

const endOf = (request) => request.began + request.duration;

function showTable(name, items, keyOf, make, update) {
  const body = byId(name);
  keepChildren(body, items, kept[name], keyOf, make, update);
  setHidden(body.parentElement, items.length === 0);
  setHidden(byId(`${name}-empty`), items.length > 0);
}

function showRequests(name, requests, view) {
  showTable(name, requests, (request) => request.id, makeRequest, (row, request) => {
    const [took, what, ended] = row.children;
    const how = level(request.duration);
    setClass(row, name === "slowest" ? how : "fresh");
    setText(took.children[0], duration(request.duration));
    setText(took.children[1], name === "slowest" ? levelText[how] : "");
    setText(what.children[0].children[0], request.method ?? "");
    setText(what.children[0].children[1], clip(request.method ? request.path : nameOf(request), 200));
    setTitle(what.children[0], nameOf(request));
    setText(what.children[1], clip(request.error ?? ""));
    setHidden(what.children[1], !request.error);
    const where = view.processes.length > 1 ? ` · process ${view.names.get(request.process) ?? request.process}` : "";
    setText(what.children[2], `${clip(request.thread?.name ?? "", 40)}${where}`);
    setText(ended, ago(Math.max(0, view.taken - endOf(request))));
  });
}

function makeRequest() {
  const name = element("span", "name", element("span", "method"), " ", element("span", "path"));
  return element(
    "tr", "",
    element("td", "number age", element("span", "amount"), element("span", "tag")),
    element("td", "what", name, element("span", "error"), element("span", "sub always")),
    element("td", "number quiet"),
  );
}

/** Every second or third bound of the histogram, under the edge of its bar. */
function showBounds(bounds) {
  const target = byId("bounds");
  const text = JSON.stringify(bounds);
  if (target.bounds === text) return;
  target.bounds = text;
  const marks = bounds.map((value, place) => ({ value, place })).filter(({ value }) => /^0*10*$/.test(String(value).replace(".", "")));
  target.replaceChildren(...marks.map(({ value, place }) => {
    const mark = element("span", "", bound(value));
    mark.style.left = `${(100 * (place + 1)) / (bounds.length + 1)}%`;
    return mark;
  }));
}

function showRoutes(view) {
  const routes = view.routes.toSorted((one, other) => other.seconds - one.seconds || other.count - one.count);
  const shown = all ? routes : routes.slice(0, MOST_ROUTES);
  showTable("routes", shown, (route) => route.name, makeRoute, (row, route) => updateRoute(row, route, view.bounds));
  const left = routes.length - shown.length;
  setHidden(byId("routes-more"), !(left || (all && routes.length > MOST_ROUTES)));
  setText(byId("routes-more"), all ? "Show fewer routes" : `Show ${plural(left, "more route")}`);
}

function makeRoute() {
  const bars = element("span", "bars");
  bars.setAttribute("role", "img");
  return element(
    "tr", "", element("td", "what", element("span", "name")), element("td", "number"), element("td", "number wide failures"),
    element("td", "number wide"), element("td", "histogram", bars),
  );
}

function updateRoute(row, route, bounds) {
  const [name, requests, failed, mean, histogram] = row.children;
  setText(name.children[0], clip(route.name, 100));
  setTitle(name.children[0], route.name);
  setText(requests, count(route.count));
  setText(failed, route.failed ? count(route.failed) : "0");
  setClass(failed, `number wide failures${route.failed ? " some" : ""}`);
  setText(mean, duration(route.count ? route.seconds / route.count : 0));
  const [bars] = histogram.children;
  const text = bucketsText(route.buckets, bounds);
  if (bars.getAttribute("aria-label") === text) return;
  bars.setAttribute("aria-label", text);
  const most = Math.max(1, ...route.buckets);
  while (bars.childElementCount < route.buckets.length) bars.append(element("span"));
  route.buckets.forEach((number, place) => {
    const bar = bars.children[place];
    setClass(bar, `${number ? "some" : "none"} ${level(place ? bounds[place - 1] : 0)}`);
    bar.style.height = number ? `${Math.max(12, (100 * number) / most)}%` : "";
    setTitle(bar, `${rangeText(place, bounds)}: ${count(number)}`);
  });
}

function rangeText(place, bounds) {
  if (place === 0) return `up to ${bound(bounds[0])}`;
  return place < bounds.length ? `${bound(bounds[place - 1])} to ${bound(bounds[place])}` : `over ${bound(bounds.at(-1))}`;
}

function bucketsText(buckets, bounds) {
  const some = buckets.map((number, place) => (number ? `${rangeText(place, bounds)}: ${count(number)}` : "")).filter(Boolean);
  return some.length ? visible(some.join(", ")) : "none yet";
}

function makeProcess() {
  const cells = ["", "number", "number", "number", "number wide", "number wide", "wide"].map((name) => element("td", name));
  cells[0].append(element("span", "name"), element("span", "tag"));
  return element("tr", "", ...cells);
}

function updateProcess(row, process, view) {
  const [name, open, begun, failed, bodies, teardowns, seen] = row.children;
  setText(name.children[0], view.processTexts.get(process.id));
  setText(name.children[1], process.reached ? "" : "not reached");
  setClass(row, process.reached ? "" : "unreached");
  setText(open, count(process.open));
  setText(begun, count(Math.max(0, process.begun - process.open)));
  for (const [cell, number, wide] of [[failed, process.failed, ""], [bodies, process.dropped_bodies, " wide"], [teardowns, process.failed_teardowns, " wide"]]) {
    setText(cell, count(number));
    setClass(cell, `number${wide}${number ? " failures some" : ""}`);
  }
  setText(seen, process.seen < 1 ? "just now" : ago(process.seen));
}
