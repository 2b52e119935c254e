// Words and times as a person reads them. What comes from outside only ever
// becomes text: nothing here or elsewhere makes markup of it.

// printable shows what would not be seen, or would turn the text around it.
export function printable(words) {
  return String(words).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

// element makes an element with text and children, which are elements or text.
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name === 'class') made.className = value;
    else if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children.map((c) => (c instanceof Node ? c : printable(c))));
  return made;
}

const svgSpace = 'http://www.w3.org/2000/svg';

// shape makes an element of a drawing, with a title that says what it is.
export function shape(tag, properties, title) {
  const made = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
  if (title !== undefined) {
    const words = document.createElementNS(svgSpace, 'title');
    words.textContent = printable(title);
    made.append(words);
  }
  return made;
}

// setText changes text only where it differs: what is selected stays so.
export function setText(node, words) {
  words = printable(words);
  if (node.textContent !== words) node.textContent = words;
}

// age says how long ago a moment was.
export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${s % 60}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86400)}d${Math.floor((s % 86400) / 3600)}h`;
}

const pad = (n, digits = 2) => String(n).padStart(digits, '0');

// clock is a time of day, with the date where that is another day.
export function clock(ms, fraction = true) {
  const t = new Date(ms);
  const time = `${pad(t.getHours())}:${pad(t.getMinutes())}:${pad(t.getSeconds())}` + (fraction ? `.${pad(t.getMilliseconds(), 3)}` : '');
  if (t.toDateString() === new Date().toDateString()) return time;
  return `${t.getFullYear()}-${pad(t.getMonth() + 1)}-${pad(t.getDate())} ${time}`;
}

export function plural(n, what) {
  return `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;
}

// worst puts states in the order in which they want to be seen.
export const worst = ['degraded', 'held', 'detached', 'ended', 'waiting', 'settling', 'joined'];

// rate says how a monitored membership comes in.
export function rate(rates) {
  if (rates.unheard) return 'not monitored';
  const bits = rates.bytes * 8;
  const unit = bits >= 1e9 ? [1e9, 'Gbit/s'] : bits >= 1e6 ? [1e6, 'Mbit/s'] : [1e3, 'kbit/s'];
  const words = `${Math.round(rates.datagrams).toLocaleString('en')}/s, ${(bits / unit[0]).toFixed(1)} ${unit[1]}`;
  return rates.stalled ? `${plural(rates.stalled, 'stream')} stalled; ${words}` : words;
}
