// Draws a part of the run: what every CPU does, by the state and thread it has at each point.

const canvas = document.getElementById('lanes');
const pen = canvas.getContext('2d');
const view = { from: 0, to: Math.max(data.ns, 1) };
const shown = { width: 0, hits: [], selected: null, matches: null };

// Lanes of a CPU from above, with their heights.
const LANES = [['marks', 14], ['threads', 18], ['calls', 18], ['ring 3', 11], ['ring 0', 11], ['VMM', 11], ['idle', 11]];
const GAP = 10;
const AXIS = 18;
const LABELS = 62;
const ofCpu = LANES.reduce((sum, [, height]) => sum + height + 2, GAP);
// A chunk that is narrower is drawn by its summary.
const NARROW = 3;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Threads that follow each other differ: the golden angle.
const threadColour = (number) =>
  number ? `hsl(${(number * 137.5) % 360} 42% ${matchMedia('(prefers-color-scheme: dark)').matches ? 42 : 68}%)` : colour('--idle');

const inner = () => shown.width - LABELS;
const x = (ns) => ((ns - view.from) / (view.to - view.from)) * inner();
const time = (px) => view.from + (px / inner()) * (view.to - view.from);
const top_ = (cpu, lane) => AXIS + cpu * ofCpu + LANES.slice(0, lane).reduce((sum, [, height]) => sum + height + 2, 0);

// What is in each point of the screen, for each CPU: shares of states, the thread that has most.
const bins = (width) => Array.from({ length: data.cpus }, () => ({
  states: Array.from({ length: 4 }, () => new Float32Array(width + 1)),
  thread: new Int32Array(width + 1).fill(-1),
  most: new Float32Array(width + 1),
  marks: new Uint8Array(width + 1),
  calls: new Float32Array(width + 1),
}));

const spread = (from, to, width, put) => {
  const [left, right] = [Math.max(x(from), 0), Math.min(x(to), width)];
  if (!(right > left)) return;
  for (let bin = Math.floor(left); bin < right; bin += 1) {
    put(bin, Math.min(bin + 1, right) - Math.max(bin, left));
  }
};

const state = (all, cpu, from, to, is, thread, width) => {
  const bin = all[cpu];
  spread(from, to, width, (at, share) => {
    bin.states[is][at] += share;
    if (is !== 3 && share > bin.most[at]) [bin.most[at], bin.thread[at]] = [share, thread];
  });
};

const mark = (bin, ns, bit, width) => {
  const at = Math.floor(x(ns));
  if (at >= 0 && at < width) bin.marks[at] |= bit;
};

const summary = (all, chunk, width) => {
  const span = Math.max(chunk.to - chunk.from, 1);
  chunk.cpus.forEach(([spent, thread], cpu) => {
    spent.forEach((ns, is) => {
      const share = ns / span;
      if (share > 0) spread(chunk.from, chunk.to, width, (at, part) => {
        all[cpu].states[is][at] += part * share;
        if (is !== 3 && part * share > all[cpu].most[at]) [all[cpu].most[at], all[cpu].thread[at]] = [part * share, thread];
      });
    });
  });
  const middle = (chunk.from + chunk.to) / 2;
  if (chunk.kinds[TICK]) mark(all[0], middle, 1, width);
  if (chunk.kinds[FAULT]) mark(all[0], middle, 2, width);
  if (chunk.signals) mark(all[0], middle, 4, width);
  if (chunk.kinds[CALL]) spread(chunk.from, chunk.to, width, (at, part) => { all[0].calls[at] += part * 0.7; });
};

const exact = (all, chunk, width) => {
  const { starts, changes } = contents(chunk);
  const now = starts.map(([is, thread]) => [chunk.from, is, thread]);
  for (const [offset, cpu, is, thread] of changes) {
    const ns = chunk.from + offset;
    if (now[cpu]) state(all, cpu, now[cpu][0], ns, now[cpu][1], now[cpu][2], width);
    now[cpu] = [ns, is, thread];
  }
  now.forEach(([since, is, thread], cpu) => state(all, cpu, since, chunk.to, is, thread, width));
};

const draw = () => {
  const width = Math.max(Math.floor(inner()), 1);
  const all = bins(width);
  shown.hits = [];
  const calls = [];
  const first = last('from', view.from);
  for (let index = Math.max(first - 1, 0); index < chunks.length && chunks[index].from <= view.to; index += 1) {
    const chunk = chunks[index];
    if (x(chunk.to) - x(chunk.from) < NARROW && chunk.count > 0) summary(all, chunk, width);
    else exact(all, chunk, width), events(all, chunk, calls, width);
  }
  // A call that is under way at the right edge is in a chunk after it.
  for (let index = last('from', view.to) + 1, more = 0; index < chunks.length && more < 4; index += 1, more += 1) {
    if (view.to - view.from < 50 * (chunks[index].to - chunks[index].from)) events(all, chunks[index], calls, width);
  }
  paint(all, calls, width);
};

// Notes where events are, to be found by a click, and calls to be drawn.
const events = (all, chunk, calls, width) => {
  contents(chunk).events.forEach((raw, index) => {
    const [offset, kind, cpu] = raw;
    const ns = chunk.from + offset;
    const it = [ns, chunk, index, kind, cpu];
    const bin = all[cpu];
    if (!bin) return;
    if (kind === CALL) {
      const [from, to] = [x(ns - raw[7]), x(ns)];
      if (to >= 0 && from <= width) {
        if (to - from >= 2) calls.push([from, to, cpu, raw, it]);
        else spread(ns - raw[7], ns, width, (at, part) => { bin.calls[at] += part; });
        shown.hits.push(it);
      }
    } else if (x(ns) >= -1 && x(ns) <= width) {
      shown.hits.push(it);
    }
    const bit = kind === TICK ? 1 : kind === FAULT ? 2 : 0;
    if (bit) mark(bin, ns, bit, width);
    if (kind !== EXIT && kind !== TRAP && isSignal({ kind, rest: raw.slice(4) })) mark(bin, ns, 4, width);
  });
};

const label = (text, left, right, y, ink) => {
  const room = right - Math.max(left, 0) - 6;
  if (room < 24) return;
  pen.fillStyle = ink;
  let shorter = text;
  while (shorter.length > 1 && pen.measureText(shorter).width > room) shorter = shorter.slice(0, -1);
  if (shorter.length > 1) pen.fillText(shorter, LABELS + Math.max(left, 0) + 3, y);
};

const paint = (all, calls, width) => {
  const scale = devicePixelRatio || 1;
  const height = AXIS + data.cpus * ofCpu;
  if (canvas.width !== Math.round(shown.width * scale) || canvas.height !== Math.round(height * scale)) {
    [canvas.width, canvas.height] = [Math.round(shown.width * scale), Math.round(height * scale)];
    canvas.style.height = `${height}px`;
  }
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, shown.width, height);
  pen.font = '11px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  const [ink, soft, tint] = ['--ink', '--soft', '--tint'].map(colour);
  axis(height, soft);
  const states = ['--guest', '--ring0', '--vmm', '--idle'].map(colour);
  all.forEach((bin, cpu) => {
    LANES.forEach(([name, high], lane) => {
      const y = top_(cpu, lane);
      pen.fillStyle = tint;
      if (lane > 0) pen.fillRect(LABELS, y, width, high);
      pen.fillStyle = soft;
      const text = lane === 0 ? (data.cpus > 1 ? `CPU ${cpu}` : 'marks') : name;
      pen.fillText(text, 0, y + high / 2);
    });
    // Runs of the thread that has most of each point.
    for (let at = 0; at < width;) {
      let to = at + 1;
      while (to < width && bin.thread[to] === bin.thread[at]) to += 1;
      if (bin.thread[at] >= 0) {
        pen.fillStyle = threadColour(bin.thread[at]);
        pen.fillRect(LABELS + at, top_(cpu, 1), to - at, LANES[1][1]);
        label(threadName(bin.thread[at]), at, to, top_(cpu, 1) + LANES[1][1] / 2 + 1, ink);
      }
      at = to;
    }
    bin.states.forEach((shares, is) => {
      const [y, high] = [top_(cpu, 3 + is), LANES[3 + is][1]];
      pen.fillStyle = states[is];
      for (let at = 0; at < width; at += 1) {
        if (shares[at] < 0.0005) continue;
        const part = Math.max(Math.min(shares[at], 1) * high, 1);
        pen.fillRect(LABELS + at, y + high - part, 1, part);
      }
    });
    pen.fillStyle = states[1];
    for (let at = 0; at < width; at += 1) {
      if (bin.calls[at] > 0) {
        pen.globalAlpha = Math.min(0.15 + bin.calls[at], 0.8);
        pen.fillRect(LABELS + at, top_(cpu, 2), 1, LANES[2][1]);
      }
    }
    pen.globalAlpha = 1;
    ['--soft', '--setup', '--bad'].map(colour).forEach((fill, index) => {
      pen.fillStyle = fill;
      for (let at = 0; at < width; at += 1) {
        if (bin.marks[at] & (1 << index)) pen.fillRect(LABELS + at - 0.5, top_(cpu, 0) + 2 - index, 2, 7 + 3 * index);
      }
    });
  });
  // The longest are below.
  calls.sort((a, b) => b[1] - b[0] - (a[1] - a[0]));
  for (const [from, to, cpu] of calls) {
    const [left, right] = [Math.max(from, 0), Math.min(to, width)];
    const y = top_(cpu, 2);
    pen.fillStyle = tint;
    pen.fillRect(LABELS + left, y, right - left, LANES[2][1]);
    pen.fillStyle = states[1];
    pen.globalAlpha = 0.45;
    pen.fillRect(LABELS + left, y, right - left, LANES[2][1]);
    pen.globalAlpha = 1;
    pen.fillRect(LABELS + left, y, 1, LANES[2][1]);
  }
  // Up to where the next one begins, which is above.
  [...calls].sort((a, b) => a[0] - b[0]).forEach(([from, to, cpu, raw], index, sorted) => {
    if (to - from < 30) return;
    const next = sorted.slice(index + 1).find((call) => call[2] === cpu);
    const text = `${string(raw[4])}(${string(raw[5])})`;
    label(text, Math.max(from, 0), Math.min(to, width, next ? next[0] : width), top_(cpu, 2) + LANES[2][1] / 2 + 1, ink);
  });
  if (shown.selected) {
    const [left, right] = [x(begin(shown.selected)), x(end(shown.selected))];
    pen.strokeStyle = colour('--focus');
    pen.lineWidth = 1.5;
    pen.strokeRect(LABELS + left - 1, AXIS - 2, Math.max(right - left, 0) + 2, height - AXIS);
  }
};

// Round times above the lanes, from the beginning of the run.
const axis = (height, soft) => {
  const span = view.to - view.from;
  const rough = span / Math.max(inner() / 110, 1);
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max([1, 2, 5, 10].map((each) => each * decade).find((each) => each >= rough), 1);
  for (let ns = Math.ceil(view.from / step) * step; ns <= view.to; ns += step) {
    pen.fillStyle = soft;
    pen.globalAlpha = 0.25;
    pen.fillRect(LABELS + x(ns), AXIS - 4, 1, height - AXIS);
    pen.globalAlpha = 1;
    // With as many digits as tell it from the next one.
    const [unit, name] = view.to < 1e4 ? [1, 'ns'] : view.to < 1e7 ? [1e3, '\u00b5s'] : view.to < 1e10 ? [1e6, 'ms'] : [1e9, 's'];
    const digits = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
    const text = `${(ns / unit).toFixed(digits)} ${name}`;
    if (x(ns) + pen.measureText(text).width < inner()) pen.fillText(text, LABELS + x(ns) + 3, 7);
  }
};

let asked = false;
const redraw = () => {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
    document.getElementById('span').textContent =
      `${seconds(view.from)} s to ${seconds(view.to)} s: ${duration(view.to - view.from)}`;
  });
};
