// Zooms and moves the timeline, lists and filters events, and shows the one that is chosen.

const at = (id) => document.getElementById(id);
const make = (name, text, className) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};

// The timeline: a span of time, not less than a few nanoseconds, within the run.
const whole = Math.max(data.ns, 1);
const show = (from, to) => {
  const span = Math.min(Math.max(to - from, 20), whole);
  view.from = Math.min(Math.max(from, 0), Math.max(whole - span, 0));
  view.to = view.from + span;
  redraw();
};
const zoom = (factor, around = (view.from + view.to) / 2) => {
  show(around - (around - view.from) * factor, around + (view.to - around) * factor);
};
const move = (share) => {
  const by = (view.to - view.from) * share;
  show(view.from + by, view.to + by);
};
const centre = (chosen, close) => {
  const [from, to] = [begin(chosen), end(chosen)];
  const span = close ? Math.max((to - from) * 1.6, 200) : view.to - view.from;
  if (close || from < view.from || to > view.to) show((from + to - span) / 2, (from + to + span) / 2);
  else redraw();
};

at('in').addEventListener('click', () => zoom(0.5));
at('out').addEventListener('click', () => zoom(2));
at('left').addEventListener('click', () => move(-0.3));
at('right').addEventListener('click', () => move(0.3));
at('all').addEventListener('click', () => show(0, whole));
const KEYS = {
  '+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), 0: () => show(0, whole),
  ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2),
};
canvas.addEventListener('keydown', (pressed) => {
  if (!KEYS[pressed.key] || pressed.ctrlKey || pressed.metaKey) return;
  KEYS[pressed.key]();
  pressed.preventDefault();
});
const place = (pointer) => {
  const box = canvas.getBoundingClientRect();
  return [pointer.clientX - box.left - LABELS, pointer.clientY - box.top];
};
canvas.addEventListener('wheel', (wheel) => {
  wheel.preventDefault();
  if (Math.abs(wheel.deltaX) > Math.abs(wheel.deltaY)) return move(wheel.deltaX / inner());
  zoom(1.0018 ** Math.max(-300, Math.min(300, wheel.deltaY)), time(place(wheel)[0]));
}, { passive: false });

// The event under a place of the timeline: in the lane of calls the shortest call that is there,
// elsewhere the nearest event that the lane is about.
const ABOUT = [[TICK, FAULT, TRAP, END, CALL], [SWITCH, IDLE, START, EXEC, END], [CALL], null, null, [EXIT, HALTED], [IDLE, HALTED]];
const pick = ([px, py]) => {
  const cpu = Math.floor((py - AXIS) / ofCpu);
  let lane = LANES.length - 1;
  while (lane > 0 && py < top_(cpu, lane)) lane -= 1;
  let [best, least] = [null, 12];
  for (const hit of shown.hits) {
    const [ns, chunk, index, kind, of] = hit;
    if (of !== cpu || (ABOUT[lane] && !ABOUT[lane].includes(kind))) continue;
    const raw = contents(chunk).events[index];
    const found = { ns, kind, rest: raw.slice(4) };
    if (lane === 0 && kind === CALL && !isSignal(found)) continue;
    const [from, to] = [x(begin(found)), x(end(found))];
    const isIn = px >= from && px <= to && to - from > 1;
    // Within one, the shorter the better, and better than beside any.
    const distance = isIn ? -1 / (to - from) : Math.min(Math.abs(px - from), Math.abs(px - to));
    if (distance < least) [best, least] = [chunk.first + index, distance];
  }
  return best;
};

let dragged = null;
const touches = new Map();
canvas.addEventListener('pointerdown', (pointer) => {
  canvas.setPointerCapture(pointer.pointerId);
  touches.set(pointer.pointerId, place(pointer)[0]);
  dragged = { px: place(pointer)[0], from: view.from, to: view.to, far: false };
});
canvas.addEventListener('pointermove', (pointer) => {
  const [px, py] = place(pointer);
  if (!touches.has(pointer.pointerId)) return hover(px, py);
  if (touches.size === 2) {
    const other = [...touches].find(([id]) => id !== pointer.pointerId)[1];
    const before = Math.abs(touches.get(pointer.pointerId) - other);
    zoom(Math.max(before, 8) / Math.max(Math.abs(px - other), 8), time(other));
    dragged.far = true;
  } else if (dragged) {
    const by = ((dragged.px - px) / inner()) * (dragged.to - dragged.from);
    dragged.far ||= Math.abs(dragged.px - px) > 4;
    if (dragged.far) show(dragged.from + by, dragged.to + by);
  }
  touches.set(pointer.pointerId, px);
});
const lift = (pointer) => {
  touches.delete(pointer.pointerId);
  if (dragged && !dragged.far && pointer.type === 'pointerup') {
    const number = pick(place(pointer));
    if (number !== null) choose(number, false);
  }
  dragged = null;
};
canvas.addEventListener('pointerup', lift);
canvas.addEventListener('pointercancel', lift);
const hover = (px, py) => {
  const number = px < 0 ? null : pick([px, py]);
  const under = number === null ? '' : `: ${words(eventAt(number))}`;
  at('under').textContent = px < 0 ? '' : `${seconds(time(px))} s${under}`;
};

// The list: as many rows as there is room for, whatever its length. Browsers have no room for
// the height of a million rows, so beyond some the bar moves by shares.
const ROW = 22;
const HIGHEST = 8e6;
const list = at('list');
const rows = at('rows');
let matches = null; // Numbers of events; all where there is no filter.
let first = 0;
const length = () => matches?.length ?? total;
const numberAt = (row) => matches?.[row] ?? row;
const fitting = () => Math.max(Math.floor(list.clientHeight / ROW), 1);
const rowOf = (number) => {
  if (!matches) return number;
  let [low, high] = [0, matches.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (matches[middle] < number) low = middle + 1;
    else high = middle;
  }
  return low;
};
const fill = () => {
  rows.style.height = `${Math.min(length() * ROW, HIGHEST)}px`;
  const made = [];
  for (let row = first; row < Math.min(first + fitting() + 1, length()); row += 1) {
    const shownEvent = eventAt(numberAt(row));
    const line = make('div', undefined, `line ${KINDS[shownEvent.kind][1]}`);
    line.id = `e${shownEvent.number}`;
    line.setAttribute('role', 'option');
    line.setAttribute('aria-selected', String(shown.selected?.number === shownEvent.number));
    line.setAttribute('aria-setsize', String(length()));
    line.setAttribute('aria-posinset', String(row + 1));
    const cpu = data.cpus > 1 ? `CPU ${shownEvent.cpu}  ` : '';
    line.append(make('time', seconds(shownEvent.ns)), make('span', cpu + threadName(shownEvent.thread), 'who'), make('span', words(shownEvent), 'what'));
    made.push(line);
  }
  const box = make('div');
  box.className = 'window';
  box.append(...made);
  rows.replaceChildren(box);
};
const scrollRange = () => Math.max(list.scrollHeight - list.clientHeight, 1);
let placed = false;
const scrollTo = (row) => {
  first = Math.max(0, Math.min(row, length() - fitting()));
  placed = true;
  list.scrollTop = length() * ROW > HIGHEST ? (first / Math.max(length() - fitting(), 1)) * scrollRange() : first * ROW;
  fill();
};
list.addEventListener('scroll', () => {
  if (placed) return void (placed = false);
  first = length() * ROW > HIGHEST
    ? Math.round((list.scrollTop / scrollRange()) * Math.max(length() - fitting(), 0))
    : Math.floor(list.scrollTop / ROW);
  fill();
});
list.addEventListener('wheel', (wheel) => {
  if (length() * ROW <= HIGHEST) return;
  wheel.preventDefault();
  scrollTo(first + Math.sign(wheel.deltaY) * Math.max(1, Math.round(Math.abs(wheel.deltaY) / ROW)));
}, { passive: false });
list.addEventListener('click', (click) => {
  const line = click.target.closest('.line');
  if (line) choose(Number(line.id.slice(1)), false);
});
list.addEventListener('dblclick', () => shown.selected && centre(shown.selected, true));
list.addEventListener('keydown', (pressed) => {
  const now = shown.selected ? rowOf(shown.selected.number) : first - 1;
  const to = {
    ArrowDown: now + 1, ArrowUp: now - 1, PageDown: now + fitting(), PageUp: now - fitting(), Home: 0, End: length() - 1,
  }[pressed.key];
  if (pressed.key === 'Enter' && shown.selected) centre(shown.selected, true);
  if (to === undefined || length() === 0) return;
  pressed.preventDefault();
  choose(numberAt(Math.max(0, Math.min(to, length() - 1))), false);
});

const choose = (number, close) => {
  shown.selected = eventAt(number);
  const row = rowOf(number);
  if (row < first || row >= first + fitting()) scrollTo(row - (fitting() >> 1));
  else fill();
  list.setAttribute('aria-activedescendant', `e${number}`);
  const table = make('dl');
  for (const [name, value] of fields(shown.selected)) {
    const pair = make('div');
    pair.append(make('dt', name), make('dd', value));
    table.append(pair);
  }
  const button = make('button', 'Zoom to it', 'tool');
  button.type = 'button';
  button.addEventListener('click', () => centre(shown.selected, true));
  at('detail').replaceChildren(make('h3', words(shown.selected)), table, button);
  centre(shown.selected, close);
};

// Filters: read chunk by chunk, for a few milliseconds at a time.
const CLASSES = [...new Set(KINDS.map(([, name]) => name))].filter((name) => name !== 'note');
for (const name of CLASSES) {
  const label = make('label');
  const box = make('input');
  [box.type, box.checked, box.value] = ['checkbox', true, name];
  label.append(box, { exit: 'exits', switch: 'switches', process: 'processes' }[name] ?? `${name}s`);
  at('kinds').append(label);
}
const processes = new Map();
for (const [pid, , name] of data.threads.slice(1)) if (!processes.get(pid)) processes.set(pid, name);
for (const [pid, name] of [...processes].slice(0, 2000)) {
  const option = make('option', name ? `${name} (pid ${pid})` : `pid ${pid}`);
  option.value = pid;
  at('who').append(option);
}
let search = 0;
const filter = () => {
  search += 1;
  const [mine, wanted] = [search, at('words').value.toLowerCase().split(/\s+/).filter(Boolean)];
  const classes = new Set([...at('kinds').querySelectorAll(':checked')].map((box) => box.value));
  const kinds = KINDS.map(([, name]) => name === 'note' || classes.has(name));
  const who = at('who').value;
  const found = [];
  const all = kinds.every(Boolean) && !who && wanted.length === 0;
  const finish = () => {
    matches = all ? null : found;
    at('found').textContent = `${grouped(length())} of ${grouped(total)}`;
    document.body.dataset.found = String(length());
    scrollTo(shown.selected ? rowOf(shown.selected.number) : 0);
  };
  if (all) return finish();
  delete document.body.dataset.found;
  let index = 0;
  const step = () => {
    if (mine !== search) return;
    const until = performance.now() + 10;
    for (; index < chunks.length && performance.now() < until; index += 1) {
      const chunk = chunks[index];
      if (!chunk.kinds.some((count, kind) => count && kinds[kind])) continue;
      JSON.parse(chunk.element.textContent).events.forEach((raw, nth) => {
        if (!kinds[raw[1]] || (who && String(data.threads[raw[3]]?.[0]) !== who)) return;
        if (wanted.length) {
          const text = words(event(chunk, raw, 0)).toLowerCase();
          if (!wanted.every((word) => text.includes(word))) return;
        }
        found.push(chunk.first + nth);
      });
    }
    if (index >= chunks.length) return finish();
    at('found').textContent = `${grouped(found.length)} so far`;
    setTimeout(step);
  };
  step();
};
at('filters').addEventListener('input', filter);
at('filters').addEventListener('submit', (submitted) => submitted.preventDefault());

// Figures of the whole, with their places in the data.
const figure = (name, value, place, text = grouped(value), title = '') => {
  const pair = make('div');
  const exact = make('data', text);
  exact.value = value;
  exact.dataset.p = place;
  if (title) exact.title = title;
  const definition = make('dd');
  definition.append(exact);
  pair.append(make('dt', name), definition);
  at('key').append(pair);
};
figure('guest time', data.ns, '/ns', duration(data.ns), `${data.ns} ns`);
for (const kind of [EXIT, CALL, FAULT, TICK, SWITCH]) figure(KINDS[kind][0], data.kinds[kind], `/kinds/${kind}`);
figure('signals', data.signals, '/signals');
if (data.left_out) figure('events left out, for want of room', data.left_out, '/left_out');

at('save').hidden = true;
const resize = () => {
  shown.width = canvas.clientWidth;
  redraw();
  fill();
};
new ResizeObserver(resize).observe(canvas.parentElement);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
resize();
filter();
