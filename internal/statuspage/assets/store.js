// What the daemon told, and the connection that it is told over.

import { age, clock } from '/page/text.js';

const silence = 40000; // ms without a word after which the daemon counts as gone: it says something every 15 s
const retries = [500, 1000, 2000, 5000];

export class Store {
  rows = new Map();
  lives = new Map();
  marks = new Map();
  changed = { row: new Set(), life: new Set(), mark: new Set() };
  whole = false; // everything is to be drawn anew
  complete = false; // all that there is has been told once
  offset = 0; // of the daemon's clock to this one's
  started = 0;

  #id = '';
  #source = null;
  #told = []; // messages that are not taken yet
  #heard = 0;
  #lost = 0; // since when nothing is heard, 0: connected
  #tries = 0;
  #timer = 0;
  #listeners = [];

  // subscribe has a function called after changes, at most once a frame.
  subscribe(listener) { this.#listeners.push(listener); }

  now() { return Date.now() + this.offset; }

  // start connects, while the page is looked at: browsers have few connections
  // for one host, and pages in the background keep them from others.
  start() {
    this.#connect();
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.#disconnect();
      else this.#connect();
    });
    addEventListener('pagehide', () => this.#disconnect());
    addEventListener('pageshow', (e) => { if (e.persisted) this.#connect(); });
    setInterval(() => {
      if (this.#source && Date.now() - this.#heard > silence) this.#retry();
      if (this.#lost) this.#say();
    }, 1000);
  }

  #disconnect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #connect() {
    this.#disconnect();
    this.#heard = Date.now();
    const source = new EventSource(`/status/stream?from=${encodeURIComponent(this.#id)}`);
    this.#source = source;
    source.onmessage = (e) => {
      this.#heard = Date.now();
      this.#tries = 0;
      if (e.lastEventId) this.#id = e.lastEventId;
      this.#told.push(JSON.parse(e.data));
      this.offset = this.#told.at(-1).now - this.#heard;
      this.#announce();
      if (this.#lost) {
        this.#lost = 0;
        this.#say();
      }
    };
    source.onerror = () => this.#retry();
  }

  #retry() {
    this.#disconnect();
    this.#lost ||= Date.now();
    this.#say();
    this.#timer = setTimeout(() => this.#connect(), retries[Math.min(this.#tries++, retries.length - 1)]);
  }

  // #say tells whether what is shown is still so.
  #say() {
    const connection = document.getElementById('connection');
    const stale = document.getElementById('stale');
    const state = this.#lost ? 'stale' : 'live';
    if (connection.dataset.state !== state) {
      connection.dataset.state = state;
      connection.textContent = state;
      document.body.classList.toggle('stale', state === 'stale');
      if (state === 'stale') stale.textContent = `The daemon does not answer since ${clock(this.#lost, false)}. What is shown is from before; trying again.`;
      stale.hidden = state === 'live';
    }
    if (this.#lost) connection.title = `for ${age(Date.now() - this.#lost)}`;
  }

  #take(message) {
    if (message.started) {
      this.started = message.started;
      document.getElementById('daemon').textContent = `ssmd ${message.version}, since ${clock(message.started, false)}`;
    }
    if (message.reset) {
      this.rows.clear();
      this.lives.clear();
      this.marks.clear();
      this.whole = true;
      this.complete = false;
    }
    for (const [kind, value] of message.set ?? []) {
      const [map, key] = this.#place(kind, value);
      map.set(key, value);
      this.changed[kind].add(key);
    }
    for (const [kind, key] of message.gone ?? []) {
      this.#maps[kind].delete(key);
      this.changed[kind].add(key);
    }
    if (message.set && !message.more) this.complete = true;
    const connection = document.getElementById('connection');
    if (connection.dataset.state === 'connecting') this.#say();
  }

  #maps = { row: this.rows, life: this.lives, mark: this.marks };

  #place(kind, value) {
    const key = { row: value.name, life: `${value.instance}/${value.netns ?? ''}`, mark: String(value.id) }[kind];
    return [this.#maps[kind], key];
  }

  // #announce takes what was told, and has the listeners called, in one frame:
  // whoever draws between finds what the listeners were last called for.
  #announce() {
    if (this.#told.length > 1) return; // it is under way
    requestAnimationFrame(() => {
      for (const message of this.#told.splice(0)) this.#take(message);
      const { changed, whole } = this;
      this.changed = { row: new Set(), life: new Set(), mark: new Set() };
      this.whole = false;
      for (const listener of this.#listeners) listener(changed, whole);
    });
  }
}
