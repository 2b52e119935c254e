// The interfaces over time: a lane for each name, in it the lives, when
// memberships were attached, and what happened.

import { clock, element, plural, printable, setText, shape } from '/page/text.js';

const mostLanes = 12;
const mostListed = 200;
const high = 28; // pixels of a lane
const narrowest = 2;
const shortest = 10000; // ms that are shown, at least

const laneOf = (one) => `${one.interface ?? ''}\n${one.netns ?? ''}`;

// kindOf says how a mark looks.
export function kindOf(mark) {
  if (mark.type === 'detached' || mark.type === 'reattached' || mark.type === 'attached') return mark.type;
  if (mark.type === 'error' || mark.type === 'missed' || mark.type === 'stalled' || ['held', 'degraded', 'ended'].includes(mark.state)) return 'trouble';
  return 'other';
}

// describe says what a mark is.
export function describe(mark) {
  const what = mark.state ? `${mark.state}` : mark.type;
  const who = mark.count > 1 ? `${mark.count.toLocaleString('en')} ${mark.membership ? 'memberships' : 'times'}` : mark.membership ?? '';
  const where = mark.interface ? ` on ${mark.interface} (instance ${mark.instance})${mark.netns ? ` in ${mark.netns}` : ''}` : '';
  return [what + (who ? ` ${who}` : '') + where, mark.cause, mark.reason].filter(Boolean).join(': ');
}

export class Timeline {
  #store;
  #box = document.getElementById('timeline');
  #window = document.getElementById('window');
  #details = document.getElementById('happened');
  #lanes = new Map(); // elements by lane
  #all = false;
  #more = element('button', { type: 'button', onclick: () => { this.#all = !this.#all; this.draw(); } });

  constructor(store) {
    this.#store = store;
    this.#window.addEventListener('change', () => this.draw());
    this.#details.addEventListener('toggle', () => this.#list());
    new ResizeObserver(() => this.draw()).observe(this.#box);
    store.subscribe((changed, whole) => {
      if (whole || changed.life.size > 0 || changed.mark.size > 0) {
        this.draw();
        this.#list();
      }
    });
    setInterval(() => this.draw(), 1000); // time passes
  }

  // #span is the time that is shown: of before the daemon began nothing is known.
  #span() {
    const now = this.#store.now();
    const asked = Number(this.#window.value) || Infinity;
    return [Math.min(Math.max(now - asked, this.#store.started), now - shortest), now];
  }

  draw() {
    if (document.getElementById('overview').hidden) return;
    const [from, to] = this.#span();
    const lanes = this.#collect(from, to);
    const names = [...lanes.keys()].sort((a, b) => lanes.get(b).latest - lanes.get(a).latest || (a < b ? -1 : 1));
    const shown = (this.#all ? names : names.slice(0, mostLanes)).sort();
    for (const [name, lane] of this.#lanes) {
      if (shown.includes(name)) continue;
      lane.node.remove();
      this.#lanes.delete(name);
    }
    for (const name of shown) this.#drawLane(name, lanes.get(name), from, to);
    for (const name of shown) this.#box.append(this.#lanes.get(name).node);
    this.#box.classList.toggle('empty', shown.length === 0);
    if (names.length > mostLanes) {
      setText(this.#more, this.#all ? 'show fewer' : `show all ${names.length} interfaces`);
      this.#box.after(this.#more);
    } else this.#more.remove();
    const covers = document.getElementById('covers');
    const begun = this.#store.started;
    setText(covers, `${clock(from, false)} to ${clock(to, false)}` + (begun >= from ? ', since the daemon began' : ''));
  }

  #collect(from, to) {
    const lanes = new Map();
    const at = (one) => {
      const key = laneOf(one);
      if (!lanes.has(key)) lanes.set(key, { lives: [], marks: [], latest: 0 });
      return lanes.get(key);
    };
    for (const life of this.#store.lives.values()) {
      if (life.ended && life.ended < from || life.began > to) continue;
      const lane = at(life);
      lane.lives.push(life);
      lane.latest = Math.max(lane.latest, life.now > 0 ? Infinity : life.ended ?? life.began);
    }
    for (const mark of this.#store.marks.values()) {
      if (mark.to < from || !mark.interface && kindOf(mark) === 'other') continue;
      const lane = at(mark);
      lane.marks.push(mark);
      lane.latest = Math.max(lane.latest, mark.to);
    }
    return lanes;
  }

  #drawLane(name, { lives, marks }, from, to) {
    const [interfaceName, netns] = name.split('\n');
    let lane = this.#lanes.get(name);
    if (!lane) {
      lane = { label: element('p', { class: 'lane-name' }), drawing: shape('svg', { role: 'img', height: high }), signature: '' };
      lane.node = element('div', { class: 'lane' }, lane.label, lane.drawing);
      this.#lanes.set(name, lane);
      this.#box.append(lane.node);
    }
    const last = lives.reduce((a, b) => (a && a.began > b.began ? a : b), undefined);
    const title = interfaceName ? printable(interfaceName) + (netns ? ` in ${netns}` : '') : 'no interface';
    const words = [plural(lives.length, lives.length === 1 ? 'life' : 'live')];
    if (last) words.push(last.ended ? `gone since ${clock(last.ended)}` : `instance ${last.instance}, ifindex ${last.ifindex}, ${plural(last.now, 'membership')} attached`);
    setText(lane.label, interfaceName ? `${title}: ${words.join(', ')}` : title);
    const width = Math.max(100, this.#box.clientWidth);
    lane.drawing.setAttribute('width', width);
    lane.drawing.setAttribute('aria-label', lane.label.textContent);
    const x = (t) => Math.round((Math.min(Math.max(t, from), to) - from) / (to - from) * width * 2) / 2;
    const shapes = [];
    const bar = (kind, start, end, y, h, words) => shapes.push({ kind, x: x(start), w: Math.max(narrowest, x(end) - x(start)), y, h, words });
    for (const life of lives) {
      const until = life.ended ? clock(life.ended) : 'now';
      bar('life', life.before ? from : life.began, life.ended ?? to, 4, 16, `${life.interface}, instance ${life.instance}, ifindex ${life.ifindex}, ${life.kind}, ${life.mac}: ${life.before ? 'before ' : ''}${clock(life.began)} to ${until}`);
      for (const [start, end] of life.attached) {
        if ((end || to) >= from) bar('attached', start || life.began, end || to, 8, 8, `memberships attached: ${clock(start || life.began)} to ${end ? clock(end) : 'now'}`);
      }
    }
    for (const mark of marks) {
      if (mark.type !== 'attached') bar(kindOf(mark), mark.from, mark.from, 0, high - 4, `${clock(mark.from)} ${describe(mark)}`);
    }
    this.#paint(lane, shapes, width);
  }

  // #paint changes the drawing only where it is another one.
  #paint(lane, shapes, width) {
    const signature = JSON.stringify([width, shapes]);
    if (lane.signature === signature) return;
    lane.signature = signature;
    lane.drawing.replaceChildren(...shapes.map((s) => shape('rect', { class: s.kind, x: s.x, y: s.y, width: s.w, height: s.h, rx: s.kind === 'life' ? 3 : 0 }, s.words)));
  }

  #list() {
    if (!this.#details.open) return;
    const newest = [...this.#store.marks.values()].sort((a, b) => b.from - a.from || b.id - a.id).slice(0, mostListed);
    document.getElementById('marks').replaceChildren(...newest.map((m) => element('li', { class: kindOf(m) },
      element('time', {}, clock(m.from)), ` ${describe(m)}`)));
  }
}
