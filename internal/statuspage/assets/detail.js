// The page of one membership: its status, every interface against every rule,
// its channels, and what happened to it.

import { age, clock, element, plural, rate } from '/page/text.js';

const after = 300; // ms between two looks, at least

export class Detail {
  #store;
  #main = document.getElementById('detail');
  #name = '';
  #body = null;
  #due = 0;
  #asked = 0;

  constructor(store) {
    this.#store = store;
    store.subscribe((changed, whole) => {
      if (this.#name && (whole || changed.row.has(this.#name) || changed.life.size > 0)) this.#later();
    });
  }

  // show shows a membership, or none.
  show(name) {
    this.#name = name;
    clearTimeout(this.#due);
    this.#due = 0;
    this.#main.hidden = name === '';
    if (!name) return;
    this.#body = element('div', {}, 'looking');
    this.#main.replaceChildren(element('p', {}, element('a', { href: '#' }, '← all memberships')), element('h2', {}, name), this.#body);
    this.#main.focus();
    this.#look();
  }

  #later() { this.#due ||= setTimeout(() => { this.#due = 0; this.#look(); }, after); }

  async #look() {
    const name = this.#name;
    const turn = ++this.#asked;
    let parts;
    try {
      const answer = await fetch(`/status/explain?name=${encodeURIComponent(name)}`);
      parts = answer.ok ? this.#render(await answer.json()) : [element('p', { class: 'notice' }, await answer.text())];
    } catch {
      return; // the store says that the daemon is gone
    }
    if (turn === this.#asked && this.#name === name) this.#body.replaceChildren(...parts);
  }

  #render(d) {
    const s = d.status;
    const now = this.#store.now();
    const time = (t) => clock(Date.parse(t));
    const facts = [
      ['state', element('span', { class: `state ${s.state}` }, s.state)],
      ['reason', s.reason],
      ['since', `${time(s.since)}, ${age(now - Date.parse(s.since))} ago`],
      ['channels', `${s.joined} of ${s.channels} joined`],
      ...s.attachments.map((a) => ['attached', `${a.interface} (ifindex ${a.ifindex}, instance ${a.instance})${a.netns ? ` in ${a.netns}` : ''} since ${time(a.since)}: ${a.joined} joined${a.failed ? `, ${a.failed} refused` : ''}`]),
      ...(s.previous ? [['lost last', `${s.previous.name} (instance ${s.previous.instance}), mac ${s.previous.mac || '-'}, subnet ${(s.previous.subnet ?? []).join(', ') || '-'}`]] : []),
      ...(this.#store.rows.get(s.name)?.rates ? [['comes in', rate(this.#store.rows.get(s.name).rates)]] : []),
      ['counters', Object.entries(s.counters).map(([what, n]) => `${n} ${what}`).join(', ')],
      ...(s.last_reattach_seconds === null ? [] : [['last reattach', `${(s.last_reattach_seconds * 1000).toFixed(2)} ms`]]),
    ];
    return [
      element('dl', { class: 'facts' }, ...facts.flatMap(([what, value]) => [element('dt', {}, what), element('dd', {}, value)])),
      element('h3', {}, 'Every interface against every rule'),
      ...(d.interfaces.length ? d.interfaces.map((i) => this.#interface(i)) : [element('p', {}, s.state === 'ended' ? 'It has ended: no interface is looked at.' : 'There is no interface.')]),
      element('h3', {}, 'Channels'),
      this.#table(['channel', 'interface', 'joined', 'refused because'], d.channels.map((c) => [c.channel, c.interface || '-', c.joined ? 'yes' : 'no', c.error ?? ''])),
      ...(d.channels_left_out ? [element('p', {}, `and ${plural(d.channels_left_out, 'channel')} more`)] : []),
      element('h3', {}, 'What happened, newest first'),
      this.#table(['time', 'what', 'interface', 'cause', 'reason'], d.events.map((e) => [time(e.time), e.state ?? e.type, e.interface ? `${e.interface} (instance ${e.instance})` : '-', e.cause ?? '', e.reason ?? ''])),
    ];
  }

  #interface(i) {
    const checks = i.verdict.checks ?? [];
    return element('details', { class: 'verdict', ...(i.attached || i.verdict.result !== 'reject' ? { open: '' } : {}) },
      element('summary', {}, element('b', { class: `result ${i.verdict.result}` }, i.verdict.result), ` ${i.interface} (ifindex ${i.ifindex}, instance ${i.instance})${i.attached ? ', attached' : ''}: ${i.verdict.reason ?? ''}`),
      this.#table(['', 'rule', 'wanted', 'found'], checks.map((c) => [c.result === 'accept' ? 'ok' : c.result, c.rule, c.wanted, c.found])));
  }

  #table(head, rows) {
    return element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': head.filter(Boolean).join(', ') },
      element('table', {}, element('thead', {}, element('tr', {}, ...head.map((h) => element('th', { scope: 'col' }, h)))),
        element('tbody', {}, ...rows.map((cells) => element('tr', {}, ...cells.map((c) => element('td', {}, c ?? '')))))));
  }
}
