// Wires the parts of the page together.

import { Store } from '/page/store.js';
import { List } from '/page/list.js';
import { Timeline } from '/page/timeline.js';
import { Detail } from '/page/detail.js';
import { plural } from '/page/text.js';

const store = new Store();
const list = new List(store);
const timeline = new Timeline(store);
const detail = new Detail(store);
const overview = document.getElementById('overview');

let searchNext = false; // once the list is there again

// named is the membership that the address names, as it stands where somebody
// wrote what is no encoding.
function named() {
  if (!location.hash.startsWith('#m=')) return '';
  const name = location.hash.slice(3);
  try { return decodeURIComponent(name); } catch { return name; }
}

// route shows what the address names: a membership, or all of them.
function route() {
  const name = named();
  const was = !overview.hidden;
  overview.hidden = name !== '';
  document.title = name ? `${name} - ssmd` : 'ssmd';
  detail.show(name);
  if (searchNext) list.search();
  else if (!name && !was) list.focus();
  searchNext = false;
  timeline.draw();
}
addEventListener('hashchange', route);

const moves = {
  j: () => 1, ArrowDown: () => 1, k: () => -1, ArrowUp: () => -1, Home: () => -Infinity, End: () => Infinity,
  PageDown: () => list.page(), PageUp: () => -list.page(),
};

addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = e.target instanceof HTMLInputElement;
  const choosing = typing || e.target instanceof HTMLSelectElement;
  const inList = e.target instanceof Element && e.target.id === 'list';
  if (e.key === 'Escape') {
    if (list.searching) list.leaveSearch();
    else if (overview.hidden) location.hash = '#';
    else return;
  } else if (e.key === '/' && !choosing) {
    searchNext = overview.hidden;
    if (searchNext) location.hash = '#';
    else list.search();
  } else if (overview.hidden) return;
  else if (list.searching && (e.key === 'ArrowDown' || e.key === 'Enter')) list.move(0);
  else if (inList && e.key === 'Enter' && list.active) location.hash = `#m=${encodeURIComponent(list.active)}`;
  else if (!choosing && (e.key === 'j' || e.key === 'k' || inList && e.key in moves)) list.move(moves[e.key]());
  else return;
  e.preventDefault();
});

// What changed is said in a few words, and not more often than can be heard.
const quiet = 3000;
const told = new Map(); // states that were seen
let waiting = new Set();
let due = 0;
store.subscribe((changed, whole) => {
  if (whole) told.clear();
  for (const name of changed.row) {
    const state = store.rows.get(name)?.state;
    if (told.has(name) && told.get(name) !== state) waiting.add(name);
    if (state) told.set(name, state);
    else told.delete(name);
  }
  if (waiting.size > 0 && !due) due = setTimeout(tell, quiet);
});

function tell() {
  const counts = new Map();
  for (const name of waiting) {
    const state = store.rows.get(name)?.state ?? 'removed';
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  document.getElementById('news').textContent = waiting.size === 1
    ? `${[...waiting][0]} is ${[...counts.keys()][0]}`
    : `${plural(waiting.size, 'membership')} changed: ${[...counts].map(([state, n]) => `${n} ${state}`).join(', ')}`;
  waiting = new Set();
  due = 0;
}

route();
store.start();
