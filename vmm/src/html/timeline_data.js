// The events of the page: chunks that are read when they are wanted, and what an event is in words.
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);

// In the order of the numbers in the page: what the kind is called, its class, and its fields.
const KINDS = [
  ['VM exits', 'exit', ['reason', 'place', 'device', 'bytes', 'rip', 'ring', 'served', 'refused']],
  ['halted', 'exit', ['halted for']],
  ['system calls', 'call', ['call', 'arguments', 'result', 'took']],
  ['traps', 'trap', ['trap', 'rip', 'cs', 'rflags', 'rsp', 'ss', 'error code', 'cr2']],
  ['page faults', 'fault', ['what']],
  ['ticks', 'tick', ['number']],
  ['switches', 'switch', ['to']],
  ['idle', 'switch', []],
  ['beginnings', 'process', ['thread']],
  ['new programs', 'process', ['program']],
  ['ends', 'process', ['thread', 'status']],
  ['notes', 'note', ['note']],
];
const [EXIT, HALTED, CALL, TRAP, FAULT, TICK, SWITCH, IDLE, START, EXEC, END] = KINDS.keys();
const SIGNAL_CALLS = new Set(['kill', 'tkill', 'tgkill', 'rt_sigqueueinfo', 'rt_sigreturn']);

// Summaries: first and last nanosecond, events, those of each kind, signals, and of each CPU the
// nanoseconds in each state and the thread that had it longest.
const chunks = [];
let total = 0;
for (const element of document.querySelectorAll('script.c')) {
  const [from, to, count, kinds, signals, ...cpus] = JSON.parse(element.dataset.s);
  chunks.push({ element, from, to, count, kinds, signals, cpus, first: total });
  total += count;
}

// The last chunks that were read.
const read = new Map();
const MOST_READ = 700;

const contents = (chunk) => {
  let known = read.get(chunk);
  if (known) {
    read.delete(chunk);
  } else {
    known = JSON.parse(chunk.element.textContent);
    if (read.size >= MOST_READ) read.delete(read.keys().next().value);
  }
  read.set(chunk, known);
  return known;
};

// The last of `chunks` for which `key` is at most `value`, by its place.
const last = (key, value) => {
  let [low, high] = [0, chunks.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (chunks[middle][key] <= value) low = middle;
    else high = middle - 1;
  }
  return low;
};

const string = (value) => (typeof value === 'number' ? data.strings[value] : value ?? '');

const threadName = (number) => {
  const [pid, tid, name] = data.threads[number] ?? data.threads[0];
  if (!number) return 'kernel';
  const place = pid === tid ? `pid ${pid}` : `pid ${pid} tid ${tid}`;
  return name ? `${name} (${place})` : place;
};

const duration = (ns) => {
  const [value, unit] = ns < 999.5 ? [ns, 'ns'] : ns < 999.5e3 ? [ns / 1e3, '\u00b5s']
    : ns < 999.5e6 ? [ns / 1e6, 'ms'] : [ns / 1e9, 's'];
  if (value === 0 || unit === 'ns') return `${Math.round(value)} ${unit}`;
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${unit}`;
};

// As in 0.001372441, seconds.
const seconds = (ns) => {
  const whole = Math.floor(ns / 1e9);
  return `${whole}.${String(Math.round(ns - whole * 1e9)).padStart(9, '0')}`;
};

const grouped = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ',');

// The event with this number, from 0: its chunk's time is added.
const eventAt = (number) => {
  const chunk = chunks[last('first', number)];
  const raw = contents(chunk).events[number - chunk.first];
  return raw && event(chunk, raw, number);
};

const event = (chunk, raw, number) => {
  const [offset, kind, cpu, thread, ...rest] = raw;
  return { number, ns: chunk.from + offset, kind, cpu, thread, rest };
};

// When it began.
const begin = ({ kind, ns, rest }) => ns - (kind === CALL ? rest[3] : kind === HALTED ? rest[0] : 0);
const end = ({ kind, ns, rest }) => ns + (kind === EXIT ? rest[6] : 0);

const isSignal = ({ kind, rest }) =>
  (kind === FAULT && string(rest[0]).includes('SIG')) ||
  (kind === END && string(rest[1]).includes('SIG')) ||
  (kind === CALL && SIGNAL_CALLS.has(string(rest[0])));

// An event in words, in one line.
const words = ({ kind, rest }) => {
  const text = rest.map(string);
  switch (kind) {
    case EXIT: {
      const device = text[2] ? ` (${text[2]})` : '';
      return [`${text[0]} ${text[1]}${device}`.trim(), text[7], text[3]].filter(Boolean).join(', ');
    }
    case HALTED: return `halted for ${duration(rest[0])}`;
    case CALL: return `${text[0]}(${text[1]}) = ${rest[2] === null ? '?' : text[2]}`;
    case TRAP: return `${text[0]} at ${text[1]}` + (text[7] ? `, cr2 ${text[7]}` : '');
    case TICK: return `tick ${rest[0]}`;
    case SWITCH: return `switch to ${threadName(rest[0])}`;
    case IDLE: return 'idle';
    case START: return `new ${data.threads[rest[0]]?.[0] === data.threads[rest[0]]?.[1] ? 'process' : 'thread'}: ${threadName(rest[0])}`;
    case EXEC: return `new program: ${text[0]}`;
    case END: return rest[1] === null ? `${threadName(rest[0])} ended` : `${threadName(rest[0])} ${text[1]}`;
    default: return text[0];
  }
};

// Names and values of all that is known of an event.
const fields = (event) => {
  const { kind, rest, number } = event;
  const all = [
    ['event', `${grouped(number + 1)} of ${grouped(total)}`],
    ['time', `${seconds(event.ns)} s`],
  ];
  if (data.cpus > 1) all.push(['CPU', String(event.cpu)]);
  all.push(['thread', threadName(event.thread)]);
  KINDS[kind][2].forEach((name, index) => {
    const value = rest[index];
    if (['took', 'served', 'halted for'].includes(name)) all.push([name, duration(value)]);
    else if (['to', 'thread'].includes(name)) all.push([name, threadName(value)]);
    else if (['ring', 'number'].includes(name)) all.push([name, String(value)]);
    else if (name === 'result' && value === null) all.push([name, 'none: it did not return']);
    else if (string(value) !== '') all.push([name, string(value)]);
  });
  return all;
};
