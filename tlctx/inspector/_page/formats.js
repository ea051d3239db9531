// Numbers and names as people read them.

const COUNT = new Intl.NumberFormat("en");

export const SLOW = 1;
export const VERY_SLOW = 10;

export const count = (number) => COUNT.format(number);

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A duration, or an age: 340 ms, 4.2 s, 3 min 05 s, 2 h 10 min. */
export function duration(seconds) {
  if (!(seconds >= 0.001)) return "0 ms";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
}

/** The same in whole units, for what happened a while ago: 12 s ago. */
export function ago(seconds) {
  if (seconds < 1) return "now";
  return `${seconds < 60 ? `${Math.floor(seconds)} s` : duration(Math.floor(seconds / 60) * 60).replace(" 00 s", "")} ago`;
}

const two = (number) => String(number).padStart(2, "0");

/** A bound of the histogram, as short as it can be: 5 ms, 2.5 s. */
export const bound = (seconds) => (seconds < 1 ? `${+(seconds * 1000).toPrecision(3)} ms` : `${+seconds.toPrecision(3)} s`);

/** How an age is coloured. */
export const level = (seconds) => (seconds >= VERY_SLOW ? "very-slow" : seconds >= SLOW ? "slow" : "fresh");

/** The same in words. */
export const levelText = { "very-slow": "very slow", slow: "slow", fresh: "" };

/** What tells the processes apart: nothing if there is one, the machine only if there are several. */
export function processNames(processes) {
  const hosts = new Set(processes.map((process) => process.host));
  const names = new Map();
  for (const process of processes) {
    names.set(process.id, hosts.size > 1 ? `${process.host} ${process.pid}` : `${process.pid}`);
  }
  return { names, hosts: hosts.size };
}

/** A text that is short enough for a table: the whole of it is in the opened row. */
export const clip = (text, most = 80) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

export const nameOf = (request) => [request.method, request.path].filter(Boolean).join(" ") || request.label || "request";
