// The list of memberships: only what is in view is in the document, so ten
// thousand cost no more than twenty.

import { age, clock, element, plural, printable, rate, setText, worst } from '/page/text.js';

const spare = 6; // rows above and below the view

export class List {
  #store;
  #list = document.getElementById('list');
  #spacer = document.getElementById('spacer');
  #search = document.getElementById('search');
  #sort = document.getElementById('sort');
  #states = document.getElementById('states');
  #buttons = new Map();
  #only = new Set(); // states to show, empty for all
  #names = []; // what is listed, in its order
  #places = new Map(); // their places in it
  #active = ''; // the name that the keys are on
  #drawn = new Map(); // elements by name

  constructor(store) {
    this.#store = store;
    for (const state of worst) {
      const button = element('button', { type: 'button', class: `state ${state}`, 'aria-pressed': 'false', onclick: () => this.#toggle(state) });
      this.#buttons.set(state, button);
      this.#states.append(button);
    }
    this.#search.addEventListener('input', () => this.#filter());
    this.#sort.addEventListener('change', () => this.#filter());
    this.#list.addEventListener('scroll', () => requestAnimationFrame(() => this.#draw()), { passive: true });
    this.#list.addEventListener('focus', () => this.#mark(), true);
    new ResizeObserver(() => this.#draw()).observe(this.#list);
    store.subscribe((changed, whole) => {
      if (whole || changed.row.size > 0) {
        this.#count();
        this.#filter(changed.row);
      }
    });
    setInterval(() => this.#draw(), 1000); // ages grow
  }

  get searching() { return document.activeElement === this.#search; }
  search() { this.#search.focus(); this.#search.select(); }
  leaveSearch() {
    if (this.#search.value === '') this.#list.focus();
    this.#search.value = '';
    this.#filter();
  }

  focus() { this.#list.focus({ preventScroll: true }); }

  // move moves the keys' place by so many, or to an end.
  move(by) {
    if (this.#names.length === 0) return;
    const last = this.#names.length - 1;
    const at = this.#places.get(this.#active);
    const to = at === undefined ? (by < 0 && by !== -1 ? last : 0) : Math.min(last, Math.max(0, at + by));
    this.#active = this.#names[by === Infinity ? last : by === -Infinity ? 0 : to];
    this.#reveal(this.#places.get(this.#active));
    this.#draw();
    this.focus();
  }

  page() { return Math.max(1, Math.floor(this.#list.clientHeight / this.#height()) - 1); }
  get active() { return this.#places.has(this.#active) ? this.#active : ''; }

  #mark() {
    if (this.active === '' && this.#names.length > 0) this.#active = this.#names[Math.floor(this.#list.scrollTop / this.#height())] ?? this.#names[0];
    this.#draw();
  }

  #toggle(state) {
    if (!this.#only.delete(state)) this.#only.add(state);
    this.#buttons.get(state).setAttribute('aria-pressed', String(this.#only.has(state)));
    this.#filter();
  }

  #count() {
    const counts = new Map();
    for (const row of this.#store.rows.values()) counts.set(row.state, (counts.get(row.state) ?? 0) + 1);
    for (const [state, button] of this.#buttons) {
      setText(button, `${(counts.get(state) ?? 0).toLocaleString('en')} ${state}`);
      button.classList.toggle('none', !counts.has(state));
    }
  }

  // #filter finds what is listed. Where no place can have changed nothing does.
  #filter(changed) {
    const wanted = this.#search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const found = [];
    for (const row of this.#store.rows.values()) {
      if (this.#only.size > 0 && !this.#only.has(row.state)) continue;
      if (wanted.length > 0) {
        const words = `${row.name} ${row.state} ${row.interfaces} ${row.reason}`.toLowerCase();
        if (!wanted.every((w) => words.includes(w))) continue;
      }
      found.push(row);
    }
    const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
    const order = {
      name: byName,
      state: (a, b) => worst.indexOf(a.state) - worst.indexOf(b.state) || byName(a, b),
      since: (a, b) => b.since - a.since || byName(a, b),
    }[this.#sort.value];
    found.sort(order);
    this.#names = found.map((row) => row.name);
    this.#places = new Map(this.#names.map((name, i) => [name, i]));
    setText(document.getElementById('shown'), found.length === this.#store.rows.size
      ? plural(found.length, 'membership') : `${found.length.toLocaleString('en')} of ${plural(this.#store.rows.size, 'membership')}`);
    this.#spacer.style.height = `${this.#names.length * this.#height()}px`;
    this.#draw(changed);
  }

  #height() { return parseFloat(getComputedStyle(this.#list).getPropertyValue('--row')) || 36; }

  #reveal(at) {
    const height = this.#height();
    const top = at * height;
    if (top < this.#list.scrollTop) this.#list.scrollTop = top;
    else if (top + height > this.#list.scrollTop + this.#list.clientHeight) this.#list.scrollTop = top + height - this.#list.clientHeight;
  }

  // #draw puts into the document what is in view, and changes of that only what
  // is different.
  #draw(changed) {
    const height = this.#height();
    const from = Math.max(0, Math.floor(this.#list.scrollTop / height) - spare);
    const to = Math.min(this.#names.length, Math.ceil((this.#list.scrollTop + this.#list.clientHeight) / height) + spare);
    const visible = new Set(this.#names.slice(from, to));
    if (this.active) visible.add(this.#active);
    for (const [name, node] of this.#drawn) {
      if (visible.has(name)) continue;
      node.remove();
      this.#drawn.delete(name);
    }
    for (const name of visible) {
      let node = this.#drawn.get(name);
      if (!node) {
        node = this.#make(name);
        this.#drawn.set(name, node);
        this.#spacer.append(node);
      }
      this.#update(node, this.#store.rows.get(name), this.#places.get(name), height, changed?.has(name));
    }
    if (this.active) this.#list.setAttribute('aria-activedescendant', `m-${this.#active}`);
    else this.#list.removeAttribute('aria-activedescendant');
  }

  #make(name) {
    const node = element('div', { class: 'row', role: 'option', id: `m-${name}` });
    for (const part of ['state', 'name', 'joined', 'interface', 'since', 'reason']) node.append(element('span', { class: part }));
    node.addEventListener('click', () => { this.#active = name; location.hash = `#m=${encodeURIComponent(name)}`; });
    return node;
  }

  #update(node, row, at, height, isNew) {
    const top = `translateY(${at * height}px)`;
    if (node.style.transform !== top) node.style.transform = top;
    node.setAttribute('aria-setsize', this.#names.length);
    node.setAttribute('aria-posinset', at + 1);
    node.setAttribute('aria-selected', String(row.name === this.#active));
    const [state, name, joined, on, since, reason] = node.children;
    if (node.dataset.state !== row.state) node.dataset.state = row.state;
    setText(state, row.state);
    setText(name, row.name);
    setText(joined, `${row.joined}/${row.channels}`);
    setText(on, row.interfaces || '-');
    setText(since, age(this.#store.now() - row.since));
    since.title = clock(row.since);
    setText(reason, row.rates ? `${rate(row.rates)}; ${row.reason}` : row.reason);
    reason.classList.toggle('stalled', row.rates?.stalled > 0 || row.rates?.unheard > 0);
    reason.title = printable(row.reason);
    if (isNew && this.#store.complete) {
      node.classList.remove('fresh');
      requestAnimationFrame(() => node.classList.add('fresh'));
    }
  }
}
